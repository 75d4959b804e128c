// Convolutions by their definition, sums in double, for builds without oneDNN: right, and slow.
#pragma once

#include "kernels/conv.h"

namespace fjord {

ConvForward plain_forward(const ConvShape& shape);
ConvBackwardData plain_backward_data(const ConvShape& shape);
/// dweight alone.
ConvBackwardFilter plain_backward_filter(const ConvShape& shape);

}  // namespace fjord
