// What a convolution added up beside its result, made what batch normalisation wants.
#pragma once

#include "kernels/conv_norm.h"
#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// The sums of ConvSums::moments over so many pixels -> mean, biased variance.
void moments_of_sums(const ConvSumOperands& sums, std::int64_t pixels, Out mean, Out variance,
                     Stream& stream);

/// The sums of ConvSums::gradients about the mean -> what batch_norm_backward_reduce leaves.
void gradients_of_sums(const ConvSumOperands& sums, In inv_std, const NormGradientOutputs& to,
                       Stream& stream);

}  // namespace fjord::cuda
