// 3x3 convolutions of stride 1 with few outputs, as the head of a network of
// few classes has: by the definition, vectors along the input's channels. The
// same bits for any number of threads.
#pragma once

#include "kernels/conv_norm.h"

namespace fjord {

/// Whether this computes the layer: at most 4 outputs of a multiple of 16
/// channels.
bool few_outputs_fit(const ConvShape& shape);

ConvForward few_outputs_forward(const ConvShape& shape);
/// dweight alone.
ConvBackwardFilter few_outputs_backward_filter(const ConvShape& shape);

/// The same of x as it is or normalised, without moments.
ConvNormForward few_outputs_norm_forward(const ConvNormShape& shape);
/// dweight alone.
ConvNormBackwardFilter few_outputs_norm_backward_filter(const ConvNormShape& shape);

}  // namespace fjord
