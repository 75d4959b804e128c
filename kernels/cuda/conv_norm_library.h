// Convolutions beside which the library adds up what batch normalisation wants: those of
// ConvTuning::library_sums.
#pragma once

#include <optional>

#include "kernels/conv_norm.h"
#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// What the library is asked for: going forward a convolution of the image as it is, with moments;
/// going backward one of stride 1 whose input is behind ReLU, with gradients. Of tensors of 16 bits
/// with channels in fours, where sums were asked for, and the hand-written tail does not do it;
/// nothing elsewhere.
std::optional<ConvProblem> moments_problem(const ConvNormShape& shape);
std::optional<ConvProblem> gradients_problem(const ConvNormShape& shape);

/// Each leaves `run` empty where there is no such problem, or the library has no plan of tensor
/// cores for it.
void prepare_library_norm_forward(const ConvNormShape& shape, ConvNormForward& pass);
void prepare_library_norm_backward_data(const ConvNormShape& shape, ConvNormBackwardData& pass);

}  // namespace fjord::cuda
