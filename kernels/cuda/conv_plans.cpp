// A library's plans for one convolution, whichever way its result is written.
#include "kernels/cuda/conv_plans.h"

#include <algorithm>

#include "kernels/cuda/layout.h"

namespace fjord::cuda {

std::shared_ptr<const ConvPlan> require_plan(const ConvProblem& problem, const ConvTuning& tuning) {
  auto plan = plan_conv(problem, tuning);
  if (!plan)
    throw Error(ExitCode::device, "no-engine", to_string(problem),
                fmt::format("cuDNN has no deterministic engine with {} MB of workspace for it",
                            kConvWorkspaceBytes >> 20),
                "use a smaller --batch, or --device cpu");
  return plan;
}

namespace {

// Whether slices begin at addresses that plans may be given.
bool aligned(const ConvProblem& slice) {
  const auto bytes = [&](Shape shape) {
    return static_cast<std::size_t>(shape.count()) * size_of(slice.dtype);
  };
  return bytes(slice.image) % 16 == 0 && bytes(slice.output) % 16 == 0;
}

}  // namespace

SlicedPlan::SlicedPlan(const ConvProblem& problem, const ConvTuning& tuning)
    : problem_(problem), plan_(plan_conv(problem, tuning)) {
  const bool wants_tensor_cores = problem.dtype != DType::f32 || problem.math == ConvMath::tf32;
  const std::int64_t images = problem.image.n;
  for (std::int64_t slices = 2; slices <= images; ++slices) {
    if (plan_ && (plan_->tensor_cores || !wants_tensor_cores)) break;
    if (images % slices != 0) continue;
    ConvProblem slice = problem;
    slice.image.n = slice.output.n = images / slices;
    if (!aligned(slice)) continue;
    const auto plan = plan_conv(slice, tuning);
    if (!plan || (plan_ && !plan->tensor_cores)) continue;
    problem_ = slice;
    plan_ = plan;
    slices_ = static_cast<int>(slices);
  }
  if (!plan_) plan_ = require_plan(problem, tuning);
}

ConvOperands SlicedPlan::slice(const ConvOperands& operands, int i) const {
  const auto moved = [&](const void* address, Shape shape) {
    return static_cast<const std::byte*>(address) +
           static_cast<std::size_t>(i * shape.count()) * size_of(problem_.dtype);
  };
  ConvOperands part = operands;
  const bool forward = problem_.pass == ConvPass::forward;
  part.first = moved(part.first,
                     problem_.pass == ConvPass::backward_data ? problem_.output : problem_.image);
  if (problem_.pass == ConvPass::backward_filter)
    part.second = moved(part.second, problem_.output);
  else
    part.result =
        const_cast<std::byte*>(moved(part.result, forward ? problem_.output : problem_.image));
  return part;
}

void SlicedPlan::run(const ConvOperands& operands, Stream& stream) const {
  for (int i = 0; i < slices_; ++i) plan_->run(slice(operands, i), stream);
}

namespace {

class ApartPlan : public ConvPlan {
 public:
  ApartPlan(const ConvProblem& problem, const ConvTuning& tuning)
      : problem_(problem), plain_(without_ending(problem), tuning) {
    const ConvPlan& plan = plain_.plan();
    engine = plan.engine;
    if (has_ending(problem.epilogue)) engine += " and a pass";
    tensor_cores = plan.tensor_cores;
    workspace_bytes = plan.workspace_bytes;
  }

  void run(const ConvOperands& operands, Stream& stream) const override {
    plain_.run(operands, stream);
    const ConvEpilogue& e = problem_.epilogue;
    if (!has_ending(e)) return;
    end_conv({.bias = e.bias ? static_cast<const float*>(operands.bias) : nullptr,
              .residual = e.residual ? operands.residual : nullptr,
              .relu = e.relu},
             {operands.result, problem_.dtype},
             problem_.pass == ConvPass::forward ? problem_.output : problem_.image, stream);
  }

 private:
  static ConvProblem without_ending(ConvProblem problem) {
    problem.epilogue = {};
    return problem;
  }

  ConvProblem problem_;
  SlicedPlan plain_;
};

}  // namespace

std::shared_ptr<const ConvPlan> plan_apart(const ConvProblem& problem, const ConvTuning& tuning) {
  return std::make_shared<const ApartPlan>(problem, tuning);
}

EndedPlan::EndedPlan(const ConvProblem& problem, const ConvTuning& tuning) {
  if (problem.epilogue != ConvEpilogue{}) plan_ = plan_conv(problem, tuning);
  if (!plan_ || !(plan_->tensor_cores || tuning.timed)) plan_ = plan_apart(problem, tuning);
}

WritingPlan::WritingPlan(const ConvProblem& whole, const ConvTuning& tuning, Write write)
    : store_(whole, tuning), dtype_(whole.dtype) {
  const ConvProblem& problem = store_.problem();
  const Shape result = problem.pass == ConvPass::forward         ? problem.output
                       : problem.pass == ConvPass::backward_data ? problem.image
                                                                 : problem.filter;
  count_ = result.count();
  scratch_bytes_ = store_.plan().workspace_bytes;
  const bool slices_add = problem.pass == ConvPass::backward_filter && store_.slices() > 1;
  if (write == Write::store && !slices_add) return;
  ConvProblem added = problem;
  added.epilogue.add = true;
  add_ = plan_conv(added, tuning);
  const std::size_t apart = aligned_bytes(static_cast<std::size_t>(count_) * size_of(dtype_));
  scratch_bytes_ = add_ ? std::max(scratch_bytes_, add_->workspace_bytes) : scratch_bytes_ + apart;
}

void WritingPlan::run(const ConvOperands& operands, Write write, Stream& stream) const {
  const bool filter = store_.problem().pass == ConvPass::backward_filter;
  for (int i = 0; i < store_.slices(); ++i)
    run_slice(store_.slice(operands, i), filter && i > 0 ? Write::add : write, stream);
}

void WritingPlan::run_slice(const ConvOperands& operands, Write write, Stream& stream) const {
  if (write == Write::store) return store_.plan().run(operands, stream);
  if (add_) return add_->run(operands, stream);
  ConvOperands apart = operands;
  apart.result = operands.workspace;
  apart.workspace = part_of(operands.workspace,
                            aligned_bytes(static_cast<std::size_t>(count_) * size_of(dtype_)));
  store_.plan().run(apart, stream);
  convert({apart.result, dtype_}, {operands.result, dtype_, Write::add}, count_, stream);
}

}  // namespace fjord::cuda
