// Hand-written tensor-core convolutions for the decoder's tail and head: 3x3, few channels, many
// pixels. There memory is the limit, and these kernels read each image once and write it once.
#pragma once

#include "kernels/conv.h"
#include "kernels/cuda/tail_filter.h"

namespace fjord::cuda {

/// Whether the kernels here do this convolution: 3x3, stride 1, padding 1, bf16 or f16, and either
/// 16, 32, 48 or 64 channels in and out without bias, or a head: 16 channels in, 1 to 8 out, with
/// or without bias.
bool tail_fits(const ConvShape& shape);

/// Their instruction, mma.sync m16n8k16, needs compute capability 8.0 (written 80).
constexpr bool tail_runs_on(int compute_capability) { return compute_capability >= 80; }

/// What follows the sums before they are stored; a residual goes with Write::store alone, and a
/// head has nothing but its bias.
struct TailEnd {
  In bias = {}, residual = {};
  bool relu = false;
};

/// y = (+=) x * filter + bias, 3x3: forward, or backward-data when the filter is turned.
struct TailPass {
  Shape x;
  int outputs = 0;
  DType dtype = DType::bf16;
  bool turned = false;

  FilterPacking packing() const;
  std::size_t packed_bytes() const;
  /// With the filter as pack_tail_filter leaves it, or packed into `scratch` first.
  void run_packed(In x, const void* packed, const TailEnd& end, Out y, Stream& stream) const;
  void run(In x, In weight, In bias, Out y, void* scratch, Stream& stream) const;
};

/// Each makes one pass of a convolution that tail_fits ready, in the manner of kernels/conv.h:
/// images, gradients of images and filters in the shape's type; bias, dweight and dbias in f32.
void prepare_tail_forward(const ConvShape& shape, ConvForward& pass);
void prepare_tail_backward_data(const ConvShape& shape, ConvBackwardData& pass);
void prepare_tail_backward_filter(const ConvShape& shape, ConvBackwardFilter& pass);

}  // namespace fjord::cuda
