// Which convolution runs where: one fixed rule on shape and instruction set.
#include "kernels/conv.h"

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

/// oneDNN splits a small filter's gradient over images by the number of threads; in pieces fixed by
/// shape it has the same bits for any. A wide filter's gradient is split over its channels, and
/// would be slow in pieces, each as large as the filter.
bool in_pieces(const ConvShape& shape) { return shape.weight.count() <= 64 * 64 * 9; }

void require_f32(const ConvShape& shape) {
  check(shape.dtype == DType::f32, "convolution", "the CPU computes in f32");
}

void prepare_forward(const ConvShape& shape, ConvForward& forward, Stream&) {
  require_f32(shape);
  forward = onednn_forward(shape);
}

void prepare_backward_data(const ConvShape& shape, ConvBackwardData& backward, Stream&) {
  require_f32(shape);
  backward = onednn_backward_data(shape);
}

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

void prepare_backward_filter(const ConvShape& shape, ConvBackwardFilter& backward, Stream&) {
  require_f32(shape);
  ConvBackwardFilter filter =
      in_pieces(shape) ? onednn_backward_filter_in_pieces(shape) : onednn_backward_filter(shape);
  backward = {filter.implementation, filter.scratch_bytes,
              [run = filter.run](In x, In dy, Out dweight, Out dbias, void* scratch, Stream& s) {
                if (dweight) run(x, dy, dweight, {}, scratch, s);
                if (dbias) bias_gradient(dy, dbias);
              }};
}

}  // namespace

void fill_conv_kernels() {
  prepare_conv_forward.cpu = prepare_forward;
  prepare_conv_backward_data.cpu = prepare_backward_data;
  prepare_conv_backward_filter.cpu = prepare_backward_filter;
}

}  // namespace fjord
