// Pooling and resampling.
#pragma once

#include "kernels/host_device.h"
#include "kernels/kernel.h"
#include "kernels/norm.h"

namespace fjord {

/// Square window; padding counts as minus infinity, as in PyTorch. `ceil`: a last window that
/// leaves the image is one more output, where it still begins inside.
struct Pool2d {
  int kernel = 3, stride = 2, padding = 1;
  bool ceil = false;
};

/// How many windows there are along an axis; kernels see it in the shapes.
constexpr std::int64_t pool_size(std::int64_t in, const Pool2d& pool) {
  const std::int64_t last = in + 2 * pool.padding - pool.kernel + (pool.ceil ? pool.stride - 1 : 0);
  if (last < 0) return 0;
  const std::int64_t windows = last / pool.stride + 1;
  return pool.ceil && (windows - 1) * pool.stride >= in + pool.padding ? windows - 1 : windows;
}

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

/// Where a window of another size lies: y(v, u) = x(v - top, u - left), 0 outside of x. Padding has
/// them positive; its backward, cutting, negative.
struct Window {
  int top = 0, left = 0;
};
inline Kernel<In, Out, Window> window_copy{"window_copy"};

/// PyTorch's interpolate by sizes, with corners not aligned; `area` is its adaptive average.
enum class Interpolation : std::uint8_t { nearest, nearest_exact, bilinear, bicubic, area };
/// x -> y of another height and width.
inline Kernel<In, Out, Interpolation> resize_forward{"resize_forward"};
/// dy -> dx.
inline Kernel<In, Out, Interpolation> resize_backward{"resize_backward"};

/// The mean of each window; the divisor counts the padding, or only the pixels inside of the image.
/// How many windows there are is pool_size() of the same window.
struct AvgPool2d {
  Pool2d window = {};
  bool count_padding = true;
};
/// x -> y.
inline Kernel<In, Out, AvgPool2d> avg_pool_forward{"avg_pool_forward"};
/// dy -> dx.
inline Kernel<In, Out, AvgPool2d> avg_pool_backward{"avg_pool_backward"};

/// The share of an input in a window: the window's pixels along an axis of `size`, from `begin`,
/// cut off after the padding (PyTorch's rule for a last window that leaves the image).
FJORD_HD int window_extent(int begin, int size, const AvgPool2d& pool) {
  const int low = pool.count_padding || begin > 0 ? begin : 0;
  const int limit = pool.count_padding ? size + pool.window.padding : size;
  return (begin + pool.window.kernel < limit ? begin + pool.window.kernel : limit) - low;
}

}  // namespace fjord
