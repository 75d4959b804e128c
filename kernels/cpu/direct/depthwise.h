// Filter gradients of depthwise convolutions (a filter a channel), 3x3 and 5x5: by the definition,
// vectors along the channels. The same bits for any number of threads.
#pragma once

#include "kernels/conv.h"

namespace fjord {

/// Whether this computes the layer: a multiple of 16 channels, strides 1 and 2.
bool depthwise_fits(const ConvShape& shape);

/// dweight alone.
ConvBackwardFilter depthwise_backward_filter(const ConvShape& shape);

}  // namespace fjord
