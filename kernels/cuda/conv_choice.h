// What timing found for a convolution: enough to make the same plan again, in another process.
#pragma once

#include <array>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// An engine configuration of cuDNN.
struct EngineChoice {
  std::int64_t engine = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> knobs;  // type, value
  bool operator==(const EngineChoice&) const = default;
};

/// An algorithm of cuBLASLt: 64 bytes that mean something to one version of it.
struct AlgorithmChoice {
  std::uint64_t version = 0;
  std::array<std::uint64_t, 8> words{};
  bool operator==(const AlgorithmChoice&) const = default;
};

/// No epilogue of a library: the plan without one, and a pass behind it.
struct ApartChoice {
  bool operator==(const ApartChoice&) const = default;
};

using ConvChoice = std::variant<EngineChoice, AlgorithmChoice, ApartChoice>;

struct ConvCandidate {
  std::shared_ptr<const ConvPlan> plan;
  ConvChoice choice;
};

}  // namespace fjord::cuda
