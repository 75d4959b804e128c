// Depthwise convolutions (a filter a channel), 3x3 and 5x5, and their filters' gradients: by the
// definition, vectors along the channels. The same bits for any number of threads.
#pragma once

#include "kernels/conv.h"
#include "kernels/conv_inference.h"

namespace fjord {

/// Whether this computes the layer: a multiple of 16 channels, strides 1 and 2.
bool depthwise_fits(const ConvShape& shape);

ConvForward depthwise_forward(const ConvShape& shape);

/// Of an image as it is, without a residual; any activation.
ConvInference depthwise_inference(const ConvInferenceShape& shape);

/// dweight alone.
ConvBackwardFilter depthwise_backward_filter(const ConvShape& shape);

}  // namespace fjord
