// The tail's convolutions between batch normalisations: they normalise while they read, and add up
// what the normalisations want while they write.
#pragma once

#include "kernels/conv_norm.h"

namespace fjord::cuda {

/// Whether the kernels here do this layer, of those that the tail's do: as many outputs as inputs,
/// 16, 32 or 64, as between two normalisations of a block; and the head, which nothing normalises.
/// Other widths are met too seldom for what their compilation takes.
bool tail_norm_fits(const ConvNormShape& shape);

/// Each makes one pass of a layer that fits ready, in the manner of kernels/conv_norm.h. What is
/// read through a normalisation is rounded as the pass of its own would store it, sums are of what
/// was stored.
void prepare_tail_norm_forward(const ConvNormShape& shape, ConvNormForward& pass);
void prepare_tail_norm_backward_data(const ConvNormShape& shape, ConvNormBackwardData& pass);
void prepare_tail_norm_backward_filter(const ConvNormShape& shape, ConvNormBackwardFilter& pass);

}  // namespace fjord::cuda
