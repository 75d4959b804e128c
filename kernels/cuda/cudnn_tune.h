// The fastest way to do a convolution on the card present.
#pragma once

#include <limits>
#include <optional>

#include "kernels/cuda/conv_choice.h"
#include "kernels/cuda/conv_stopwatch.h"
#include "kernels/cuda/cudnn_device.h"

namespace fjord::cuda {

/// Keeps the fastest of the plans that enter; the earlier of equals; none that does not run.
class ConvRace {
 public:
  explicit ConvRace(Stopwatch stopwatch) : stopwatch_(std::move(stopwatch)) {}

  void enter(std::shared_ptr<const ConvPlan> plan, ConvChoice choice);
  const std::optional<ConvCandidate>& winner() const { return winner_; }

 private:
  Stopwatch stopwatch_;
  float shortest_ = std::numeric_limits<float>::infinity();
  std::optional<ConvCandidate> winner_;
};

/// Of all allowed suggestions of cuDNN's modes A and B, of cuBLASLt's where the convolution is a
/// product, and, where bias, residual or ReLU follow, of the plan without them and a pass behind
/// it (itself the fastest where `tuning` times). Nothing when none runs.
std::optional<ConvCandidate> fastest(const ConvProblem& problem, const ConvTuning& tuning,
                                     const std::shared_ptr<const CudnnDevice>& device,
                                     const Stopwatch& stopwatch);

/// The plan of a choice kept on disk; null when it does not fit (any more).
std::shared_ptr<const ConvPlan> chosen_plan(const ConvProblem& problem, const ConvChoice& choice,
                                            const ConvTuning& tuning,
                                            const std::shared_ptr<const CudnnDevice>& device);

}  // namespace fjord::cuda
