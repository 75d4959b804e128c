// The gradient of a bias, whoever computes the rest of a convolution.
#pragma once

#include "kernels/view.h"

namespace fjord {

/// dbias: sums of dy by channel, stored or added.
void bias_gradient(In dy, Out dbias);

}  // namespace fjord
