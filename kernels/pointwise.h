// Element-wise operations.
#pragma once

#include "kernels/kernel.h"

namespace fjord {

/// y = max(x, 0).
inline Kernel<In, Out> relu_forward{"relu_forward"};
/// y, dy -> dx = dy where y > 0.
inline Kernel<In, In, Out> relu_backward{"relu_backward"};
/// a, b -> a + b.
inline Kernel<In, In, Out> add_forward{"add_forward"};
/// x -> y, stored or added: the backward of every sum and copy.
inline Kernel<In, Out> copy_forward{"copy_forward"};

}  // namespace fjord
