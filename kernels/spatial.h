// Pooling and resampling.
#pragma once

#include "kernels/kernel.h"
#include "kernels/norm.h"

namespace fjord {

/// Square window; padding counts as minus infinity, as in PyTorch.
struct Pool2d {
  int kernel = 3, stride = 2, padding = 1;
};

/// x -> y, tap (u8: which of kernel * kernel window positions won; the first of equals).
inline Kernel<In, Out, Out, Pool2d> max_pool_forward{"max_pool_forward"};
/// x, scale, shift -> y = act(x * scale + shift), its max_pool_forward and tap: both of a ResNet's
/// first layers in one pass over x, with the same bits as batch_norm_apply and max_pool_forward.
inline Kernel<In, In, In, Out, Out, Out, Act, Pool2d> batch_norm_apply_max_pool{
    "batch_norm_apply_max_pool"};
/// dy, tap -> dx.
inline Kernel<In, In, Out, Pool2d> max_pool_backward{"max_pool_backward"};

/// low (n, h, w, c1), skip (n, H, W, c2; may be absent) -> y (n, H, W, c1 + c2): low upsampled by
/// nearest neighbour (source index min(floor(o * (float(in) / out)), in - 1)), then skip.
inline Kernel<In, In, Out> upsample_concat_forward{"upsample_concat_forward"};
/// dy -> dlow, dskip; either may be absent.
inline Kernel<In, Out, Out> upsample_concat_backward{"upsample_concat_backward"};

}  // namespace fjord
