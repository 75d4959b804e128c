// Which convolution runs where on the GPU: one fixed rule on shape and card.
#include "kernels/conv.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv_plans.h"
#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/tail.h"

namespace fjord::cuda {

namespace {

// Written 80 for 8.0. Without a card a recent one is planned for.
int compute_capability() {
  int major = 9, minor = 0, card = 0;
  if (cudaGetDevice(&card) != cudaSuccess) return 90;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, card) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, card) != cudaSuccess)
    return 90;
  return 10 * major + minor;
}

}  // namespace

bool is_tail(const ConvShape& shape) {
  return tail_fits(shape) && tail_runs_on(compute_capability());
}

ConvProblem problem_of(const ConvShape& shape, ConvPass pass) {
  return {.pass = pass,
          .image = shape.x,
          .filter = shape.weight,
          .output = shape.y,
          .conv = shape.conv,
          .dtype = shape.dtype,
          .math = shape.math};
}

namespace {

/// The first implementation that fits a layer runs it.
template <class Pass>
struct Implementation {
  const char* name;
  bool (*fits)(const ConvShape&);
  void (*prepare)(const ConvShape&, Pass&);
};

bool always(const ConvShape&) { return true; }

void library_forward(const ConvShape& shape, ConvForward& pass) {
  ConvProblem problem = problem_of(shape, ConvPass::forward);
  problem.epilogue.bias = shape.bias;
  const EndedPlan plan(problem, shape.tuning);
  pass = {plan.engine(), plan.workspace_bytes(),
          [=](In x, In weight, In bias, Out y, void* scratch, Stream& stream) {
            plan.run({x.buffer->data, weight.buffer->data, bias ? bias.buffer->data : nullptr,
                      y.buffer->data, scratch},
                     stream);
          }};
}

void library_backward_data(const ConvShape& shape, ConvBackwardData& pass) {
  const WritingPlan plan(problem_of(shape, ConvPass::backward_data), shape.tuning, shape.write);
  pass = {plan.engine(), plan.scratch_bytes(),
          [=](In dy, In weight, Out dx, void* scratch, Stream& stream) {
            plan.run({dy.buffer->data, weight.buffer->data, nullptr, dx.buffer->data, scratch},
                     dx.write, stream);
          }};
}

// The library writes f32 itself; 16-bit results go through scratch, since dweight is f32.
void library_backward_filter(const ConvShape& shape, ConvBackwardFilter& pass) {
  const ConvProblem problem = problem_of(shape, ConvPass::backward_filter);
  if (shape.dtype == DType::f32) {
    const WritingPlan plan(problem, shape.tuning, Write::add);
    pass = {plan.engine(), plan.scratch_bytes(),
            [=](In x, In dy, Out dweight, Out, void* scratch, Stream& stream) {
              plan.run({x.buffer->data, dy.buffer->data, nullptr, dweight.buffer->data, scratch},
                       dweight.write, stream);
            }};
    return;
  }
  const SlicedPlan plan(problem, shape.tuning);
  const std::int64_t count = shape.weight.count();
  const std::size_t result = aligned_bytes(static_cast<std::size_t>(count) * size_of(shape.dtype));
  pass = {plan.plan().engine, result + plan.plan().workspace_bytes,
          [=](In x, In dy, Out dweight, Out, void* scratch, Stream& stream) {
            const ConvOperands whole{x.buffer->data, dy.buffer->data, nullptr, scratch,
                                     part_of(scratch, result)};
            for (int i = 0; i < plan.slices(); ++i) {
              plan.plan().run(plan.slice(whole, i), stream);
              convert({scratch, x.dtype()},
                      {dweight.buffer->data, DType::f32, i > 0 ? Write::add : dweight.write}, count,
                      stream);
            }
          }};
}

constexpr Implementation<ConvForward> forward_implementations[]{
    {"tail", is_tail, prepare_tail_forward}, {"library", always, library_forward}};
constexpr Implementation<ConvBackwardData> data_implementations[]{
    {"tail", is_tail, prepare_tail_backward_data}, {"library", always, library_backward_data}};
constexpr Implementation<ConvBackwardFilter> filter_implementations[]{
    {"tail", is_tail, prepare_tail_backward_filter}, {"library", always, library_backward_filter}};

template <class Pass, std::size_t count>
void choose(const Implementation<Pass> (&table)[count], const ConvShape& shape, Pass& pass) {
  for (const Implementation<Pass>& implementation : table) {
    if (!implementation.fits(shape)) continue;
    implementation.prepare(shape, pass);
    pass.implementation = fmt::format("{}: {}", implementation.name, pass.implementation);
    return;
  }
}

void prepare_forward(const ConvShape& shape, ConvForward& pass, Stream&) {
  choose(forward_implementations, shape, pass);
}

void prepare_backward_data(const ConvShape& shape, ConvBackwardData& pass, Stream&) {
  choose(data_implementations, shape, pass);
}

void prepare_backward_filter(const ConvShape& shape, ConvBackwardFilter& pass, Stream&) {
  choose(filter_implementations, shape, pass);
  if (is_tail(shape)) return;  // sums dbias itself
  pass.run = [run = pass.run](In x, In dy, Out dweight, Out dbias, void* scratch, Stream& stream) {
    if (dweight) run(x, dy, dweight, {}, scratch, stream);
    if (dbias) channel_sums({dy.buffer->data, dy.dtype()}, dy.shape(), dbias, stream);
  };
}

}  // namespace

void fill_conv_upsample();   // conv_upsample.cpp
void fill_conv_norm();       // conv_norm.cpp
void fill_conv_inference();  // conv_inference.cpp

void fill_conv() {
  prepare_conv_forward.cuda = prepare_forward;
  prepare_conv_backward_data.cuda = prepare_backward_data;
  prepare_conv_backward_filter.cuda = prepare_backward_filter;
  fill_conv_upsample();
  fill_conv_norm();
  fill_conv_inference();
}

}  // namespace fjord::cuda
