// Which convolution runs where: one fixed rule on the shape.
#include "kernels/conv.h"

#include "kernels/cpu/bias.h"
#include "kernels/cpu/conv_rule.h"
#include "kernels/cpu/direct/depthwise.h"
#include "kernels/cpu/direct/few_outputs.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/winograd.h"

namespace fjord {

namespace {

/// The fixed rule: the first implementation that fits a layer runs it, whatever a clock says or how
/// many threads there are.
template <class Pass>
struct Implementation {
  bool (*fits)(const ConvShape&);
  Pass (*prepare)(const ConvShape&);
};

bool always(const ConvShape&) { return true; }

constexpr Implementation<ConvForward> forward_implementations[]{
    {few_outputs_are_faster, few_outputs_forward},
    {depthwise_is_faster, depthwise_forward},
    {winograd_is_faster, winograd_forward},
    {always, onednn_forward}};
constexpr Implementation<ConvBackwardData> data_implementations[]{
    {winograd_is_faster, winograd_backward_data}, {always, onednn_backward_data}};
constexpr Implementation<ConvBackwardFilter> filter_implementations[]{
    {few_outputs_are_faster, few_outputs_backward_filter},
    {depthwise_gradient_is_faster, depthwise_backward_filter},
    {winograd_is_faster, winograd_backward_filter},
    {always, onednn_backward_filter}};

template <class Pass, std::size_t count>
Pass choose(const Implementation<Pass> (&table)[count], const ConvShape& shape) {
  for (const Implementation<Pass>& implementation : table)
    if (implementation.fits(shape)) return implementation.prepare(shape);
  throw_empty_slot("convolution", Backend::cpu);
}

void require_f32(const ConvShape& shape) {
  check(shape.dtype == DType::f32, "convolution", "the CPU computes in f32");
}

void prepare_forward(const ConvShape& shape, ConvForward& forward, Stream&) {
  require_f32(shape);
  forward = choose(forward_implementations, shape);
}

void prepare_backward_data(const ConvShape& shape, ConvBackwardData& backward, Stream&) {
  require_f32(shape);
  backward = choose(data_implementations, shape);
}

void prepare_backward_filter(const ConvShape& shape, ConvBackwardFilter& backward, Stream&) {
  require_f32(shape);
  const ConvBackwardFilter filter = choose(filter_implementations, shape);
  backward = {filter.implementation, filter.scratch_bytes,
              [run = filter.run](In x, In dy, Out dweight, Out dbias, void* scratch, Stream& s) {
                if (dweight) run(x, dy, dweight, {}, scratch, s);
                if (dbias) bias_gradient(dy, dbias);
              }};
}

}  // namespace

void bias_gradient(In dy, Out dbias) {
  const std::int64_t channels = dy.shape().c;
  const Chunks chunks = pixel_chunks(dy.shape());
  double* sums = partial_sums(chunks.pieces() * channels);
  parallel_for(chunks.pieces(), [&](std::int64_t i) {
    loops().channel_sums({chunks.length(i), channels}, dy.as<float>() + chunks.begin(i) * channels,
                         sums + i * channels);
  });
  for (std::int64_t i = 1; i < chunks.pieces(); ++i)
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += sums[i * channels + c];
  for (std::int64_t c = 0; c < channels; ++c) {
    float& target = dbias.as<float>()[c];
    const double before = dbias.write == Write::add ? static_cast<double>(target) : 0.0;
    target = static_cast<float>(before + sums[c]);
  }
}

void fill_conv_kernels() {
  prepare_conv_forward.cpu = prepare_forward;
  prepare_conv_backward_data.cpu = prepare_backward_data;
  prepare_conv_backward_filter.cpu = prepare_backward_filter;
}

}  // namespace fjord
