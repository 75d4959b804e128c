// Convolutions beside which the library adds up what batch normalisation wants.
#include "kernels/cuda/conv_norm_library.h"

#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/conv_split.h"
#include "kernels/cuda/conv_sums.h"
#include "kernels/cuda/device.h"

namespace fjord::cuda {

namespace {

// Engines that add up pad no channels, and none was seen that does so in groups.
bool fits(const ConvShape& s) {
  return s.tuning.library_sums && size_of(s.dtype) == 2 && s.x.c % 4 == 0 && s.y.c % 4 == 0 &&
         s.conv.groups == 1 && !is_tail(s);
}

/// A plan with sums, or none. In scratch: what it works in, then its two rows, then a centre.
class SummingPlan {
 public:
  SummingPlan(const ConvProblem& problem, const ConvTuning& tuning)
      : plan_(plan_conv(problem, tuning)) {
    if (!plan_) return;
    const Shape result = problem.pass == ConvPass::forward ? problem.output : problem.image;
    rows_at_ = aligned_bytes(plan_->workspace_bytes);
    row_bytes_ = aligned_bytes(static_cast<std::size_t>(result.c) * sizeof(float));
  }

  explicit operator bool() const { return plan_ && plan_->tensor_cores; }
  std::string name() const { return "library sums: " + plan_->engine; }
  std::size_t scratch_bytes() const { return rows_at_ + 3 * row_bytes_; }

  ConvSumOperands sums_in(void* scratch) const {
    return {.first = part_of(scratch, rows_at_), .second = part_of(scratch, rows_at_ + row_bytes_)};
  }
  const void* zeros_in(void* scratch, Stream& stream) const {
    void* const center = part_of(scratch, rows_at_ + 2 * row_bytes_);
    cuda_device().fill(center, 0, row_bytes_, stream);
    return center;
  }
  void run(const ConvOperands& operands, Stream& stream) const { plan_->run(operands, stream); }

 private:
  std::shared_ptr<const ConvPlan> plan_;
  std::size_t rows_at_ = 0, row_bytes_ = 0;
};

}  // namespace

std::optional<ConvProblem> moments_problem(const ConvNormShape& shape) {
  if (!shape.moments || shape.normalized || shape.low.n != 0 || !fits(shape.conv)) return {};
  ConvProblem problem = problem_of(shape.conv, ConvPass::forward);
  problem.epilogue = {.bias = shape.conv.bias, .sums = ConvSums::moments};
  return problem;
}

// Of strided convolutions cuDNN has none.
std::optional<ConvProblem> gradients_problem(const ConvNormShape& shape) {
  if (shape.act != Act::relu || shape.low.n != 0 || shape.conv.conv.stride != 1 ||
      !fits(shape.conv))
    return {};
  ConvProblem problem = problem_of(shape.conv, ConvPass::backward_data);
  problem.epilogue = {.residual = shape.conv.write == Write::add,
                      .sums = shape.masked_by_y ? ConvSums::gradients_by_y : ConvSums::gradients};
  return problem;
}

void prepare_library_norm_forward(const ConvNormShape& shape, ConvNormForward& pass) {
  const auto problem = moments_problem(shape);
  if (!problem) return;
  const SummingPlan plan(*problem, shape.conv.tuning);
  if (!plan) return;
  pass.implementation = plan.name();
  pass.scratch_bytes = plan.scratch_bytes();
  pass.reads_center = true;
  pass.run = [=, pixels = problem->output.pixels()](const ConvNormInputs& t, Out y, Out mean,
                                                    Out variance, void* scratch, Stream& stream) {
    ConvSumOperands sums = plan.sums_in(scratch);
    sums.center = t.center ? address(t.center) : plan.zeros_in(scratch, stream);
    plan.run({.first = address(t.x),
              .second = address(t.weight),
              .bias = address(t.bias),
              .result = y.buffer->data,
              .workspace = scratch,
              .sums = sums},
             stream);
    moments_of_sums(sums, pixels, mean, variance, stream);
  };
}

void prepare_library_norm_backward_data(const ConvNormShape& shape, ConvNormBackwardData& pass) {
  const auto problem = gradients_problem(shape);
  if (!problem) return;
  const SummingPlan plan(*problem, shape.conv.tuning);
  if (!plan) return;
  pass.implementation = plan.name();
  pass.scratch_bytes = plan.scratch_bytes();
  pass.run = [=, epilogue = problem->epilogue](In dy, In weight, const NormGradientInputs& norm,
                                               Out dz, Out, const NormGradientOutputs& to,
                                               void* scratch, Stream& stream) {
    check(bool(norm.y) == (epilogue.sums == ConvSums::gradients_by_y), "conv_norm_backward_data",
          "y is given where the mask is found in it");
    void* const result = dz.buffer->data;
    if (epilogue.residual && dz.write == Write::store)
      cuda_device().fill(result, 0, dz.buffer->bytes(), stream);
    ConvSumOperands sums = plan.sums_in(scratch);
    sums.center = address(norm.mean);
    sums.x = address(norm.raw);
    sums.scale = address(norm.scale);
    sums.shift = address(norm.shift);
    sums.y = address(norm.y);
    // Whoever stores a value has read what it is added to: the result is its own residual.
    plan.run({.first = address(dy),
              .second = address(weight),
              .result = result,
              .workspace = scratch,
              .residual = result,
              .sums = sums},
             stream);
    gradients_of_sums(sums, norm.inv_std, to, stream);
  };
}

}  // namespace fjord::cuda
