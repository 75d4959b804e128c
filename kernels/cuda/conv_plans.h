// A library's plans for one convolution, whichever way its result is written.
#pragma once

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// Where a part of scratch begins: a multiple of 256 bytes, as cuDNN likes its addresses.
constexpr std::size_t aligned_bytes(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

inline void* part_of(void* scratch, std::size_t offset) {
  return scratch ? static_cast<std::byte*>(scratch) + offset : nullptr;
}

/// The plan of a problem, or Error{device, "no-engine"}.
std::shared_ptr<const ConvPlan> require_plan(const ConvProblem& problem, const ConvTuning& tuning);

/// The plan of a problem, for as many images at a time as the library can do with tensor cores
/// within its workspace (few channels are padded there: a 3-channel 512 x 512 stem asks for 4 MB an
/// image). All of them when that changes nothing. Throws as require_plan.
class SlicedPlan {
 public:
  SlicedPlan(const ConvProblem& problem, const ConvTuning& tuning);

  const ConvPlan& plan() const { return *plan_; }
  /// Of one slice.
  const ConvProblem& problem() const { return problem_; }
  int slices() const { return slices_; }
  /// The operands of slice i; a filter's gradient has the same address in all.
  ConvOperands slice(const ConvOperands& operands, int i) const;
  /// All slices of a forward or backward-data pass.
  void run(const ConvOperands& operands, Stream& stream) const;

 private:
  ConvProblem problem_;
  std::shared_ptr<const ConvPlan> plan_;
  int slices_ = 1;
};

/// A forward or backward-data pass by the plan without an epilogue; bias, residual and ReLU in a
/// pass behind it. Throws as require_plan.
std::shared_ptr<const ConvPlan> plan_apart(const ConvProblem& problem, const ConvTuning& tuning);

/// A forward or backward-data pass and what follows its sums: in the library's epilogue where it
/// does that with tensor cores, or is timed and faster; else apart. Throws as require_plan.
class EndedPlan {
 public:
  EndedPlan(const ConvProblem& problem, const ConvTuning& tuning);

  void run(const ConvOperands& operands, Stream& stream) const { plan_->run(operands, stream); }

  const std::string& engine() const { return plan_->engine; }
  std::size_t workspace_bytes() const { return plan_->workspace_bytes; }

 private:
  std::shared_ptr<const ConvPlan> plan_;
};

/// Stores a result or adds to it (where `write` is add): by the library itself, or else through
/// scratch and a pass.
class WritingPlan {
 public:
  WritingPlan(const ConvProblem& problem, const ConvTuning& tuning, Write write);

  /// `operands.workspace` has scratch_bytes().
  void run(const ConvOperands& operands, Write write, Stream& stream) const;

  const std::string& engine() const { return store_.plan().engine; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }

 private:
  void run_slice(const ConvOperands& operands, Write write, Stream& stream) const;

  SlicedPlan store_;
  std::shared_ptr<const ConvPlan> add_;  // of one slice
  std::int64_t count_ = 0;
  DType dtype_ = DType::f32;
  std::size_t scratch_bytes_ = 0;
};

}  // namespace fjord::cuda
