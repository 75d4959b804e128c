// Hand-written tensor-core convolutions for the decoder's tail and head: 3x3, few channels, many
// pixels. There memory is the limit, and these kernels read each image once and write it once.
#pragma once

#include "kernels/conv.h"

namespace fjord::cuda {

/// Whether the kernels here do this convolution: 3x3, stride 1, padding 1, bf16 or f16, and either
/// 16, 32, 48 or 64 channels in and out without bias, or a head: 16 channels in, 1 to 8 out, with
/// or without bias.
bool tail_fits(const ConvShape& shape);

/// Their instruction, mma.sync m16n8k16, needs compute capability 8.0 (written 80).
constexpr bool tail_runs_on(int compute_capability) { return compute_capability >= 80; }

/// Each makes one pass of a convolution that tail_fits ready, in the manner of kernels/conv.h:
/// images, gradients of images and filters in the shape's type; bias, dweight and dbias in f32.
void prepare_tail_forward(const ConvShape& shape, ConvForward& pass);
void prepare_tail_backward_data(const ConvShape& shape, ConvBackwardData& pass);
void prepare_tail_backward_filter(const ConvShape& shape, ConvBackwardFilter& pass);

}  // namespace fjord::cuda
