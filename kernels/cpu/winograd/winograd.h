// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray 2015): a quarter of the
// multiplications of the definition, on NHWC images of any size with any number of channels.
// Rounding errors are some 8 times those of a direct sum; a value that is not finite spreads over
// its tile of 4x4 pixels. The same bits for any number of threads. See docs/cpu-speed.md.
#pragma once

#include "kernels/conv_inference.h"
#include "kernels/conv_norm.h"

namespace fjord {

/// Whether this can compute the layer at all; kernels/cpu/conv_rule.h says where it should.
bool winograd_fits(const ConvShape& shape);

ConvForward winograd_forward(const ConvShape& shape);
ConvBackwardData winograd_backward_data(const ConvShape& shape);
/// dweight alone.
ConvBackwardFilter winograd_backward_filter(const ConvShape& shape);

/// Where the channels of low are a multiple of 32 and those of skip one of 16.
bool winograd_fits(const UpsampleConvShape& shape);
UpsampleConvForward winograd_upsample_forward(const UpsampleConvShape& shape);
UpsampleConvBackwardData winograd_upsample_backward_data(const UpsampleConvShape& shape);
UpsampleConvBackwardFilter winograd_upsample_backward_filter(const UpsampleConvShape& shape);

/// The same two ways to read, as they are or normalised; forward with the moments of y, or without.
/// Where the plain passes fit.
ConvNormForward winograd_norm_forward(const ConvNormShape& shape);
/// dweight alone.
ConvNormBackwardFilter winograd_norm_backward_filter(const ConvNormShape& shape);
ConvNormBackwardData winograd_norm_backward_data(const ConvNormShape& shape);

/// Also through an enlargement to exactly twice the size whose channels fill whole vectors.
bool winograd_fits(const ConvInferenceShape& shape);
ConvInference winograd_inference(const ConvInferenceShape& shape);

}  // namespace fjord
