// Pooling and resampling on the CPU, shared out by image rows.
#include "kernels/spatial.h"

#include <cstring>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

PoolRow pool_row(Shape image, Shape pooled, std::int64_t row, Pool2d pool) {
  return {image.h, image.w,     image.c,     pooled.h,    pooled.w,
          row,     pool.kernel, pool.stride, pool.padding};
}

void pool_forward(In x, Out y, Out tap, Pool2d pool, Stream&) {
  const Shape from = x.shape(), to = y.shape();
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t at = i * to.w * to.c;
    loops().max_pool(pool_row(from, to, i % to.h, pool),
                     x.as<float>() + i / to.h * from.h * from.w * from.c, y.as<float>() + at,
                     tap.as<std::uint8_t>() + at);
  });
}

// One after the other: on the CPU they are not what a step waits for.
void apply_and_pool(In x, In scale, In shift, Out y, Out pooled, Out tap, Act act, Pool2d pool,
                    Stream& stream) {
  batch_norm_apply.cpu(x, scale, shift, {}, y, act, stream);
  pool_forward({y.buffer}, pooled, tap, pool, stream);
}

// Gathers: each input row sums the windows that cover it, so no two threads write one value.
void pool_backward(In dy, In tap, Out dx, Pool2d pool, Stream&) {
  const Shape from = dy.shape(), to = dx.shape();
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t image = i / to.h * from.h * from.w * from.c;
    loops().max_pool_backward(pool_row(to, from, i % to.h, pool), dy.as<float>() + image,
                              tap.as<std::uint8_t>() + image, dx.as<float>() + i * to.w * to.c,
                              dx.write == Write::add);
  });
}

// Nearest neighbour of PyTorch, its float arithmetic included.
std::int64_t source(std::int64_t out, std::int64_t in_size, std::int64_t out_size) {
  const float ratio = static_cast<float>(in_size) / static_cast<float>(out_size);
  return std::min(static_cast<std::int64_t>(static_cast<float>(out) * ratio), in_size - 1);
}

// The first output whose source is at or after `in`: the outputs of `in` are [first(in),
// first(in + 1)).
std::int64_t first_output(std::int64_t in, std::int64_t in_size, std::int64_t out_size) {
  std::int64_t out = std::max<std::int64_t>(0, in * out_size / in_size - 2);
  while (out < out_size && source(out, in_size, out_size) < in) ++out;
  return out;
}

void concat_forward(In low, In skip, Out y, Stream&) {
  const Shape from = low.shape(), to = y.shape();
  const std::int64_t skip_channels = to.c - from.c;
  const bool add = y.write == Write::add;
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t row = i / to.h * from.h + source(i % to.h, from.h, to.h);
    const float* lows = low.as<float>() + row * from.w * from.c;
    const float* skips = skip ? skip.as<float>() + i * to.w * skip_channels : nullptr;
    float* target = y.as<float>() + i * to.w * to.c;
    for (std::int64_t x = 0; x < to.w; ++x, target += to.c) {
      loops().copy(lows + source(x, from.w, to.w) * from.c, target, from.c, add);
      if (skips) loops().copy(skips + x * skip_channels, target + from.c, skip_channels, add);
    }
  });
}

void gather_low(In dy, Out dlow) {
  const Shape from = dy.shape(), to = dlow.shape();
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t row = i % to.h, image = i / to.h * from.h;
    const std::int64_t top = first_output(row, to.h, from.h),
                       bottom = first_output(row + 1, to.h, from.h);
    float* target = dlow.as<float>() + i * to.w * to.c;
    for (std::int64_t x = 0; x < to.w; ++x, target += to.c) {
      const std::int64_t left = first_output(x, to.w, from.w),
                         right = first_output(x + 1, to.w, from.w);
      bool add = dlow.write == Write::add;
      if (!add && (top == bottom || left == right)) std::fill_n(target, to.c, 0.0f);
      for (std::int64_t v = top; v < bottom; ++v)
        for (std::int64_t u = left; u < right; ++u, add = true)
          loops().copy(dy.as<float>() + ((image + v) * from.w + u) * from.c, target, to.c, add);
    }
  });
}

void gather_skip(In dy, Out dskip) {
  const Shape from = dy.shape(), to = dskip.shape();
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    for (std::int64_t x = i * to.w; x < (i + 1) * to.w; ++x)
      loops().copy(dy.as<float>() + (x + 1) * from.c - to.c, dskip.as<float>() + x * to.c, to.c,
                   dskip.write == Write::add);
  });
}

void concat_backward(In dy, Out dlow, Out dskip, Stream&) {
  if (dlow) gather_low(dy, dlow);
  if (dskip) gather_skip(dy, dskip);
}

}  // namespace

void fill_spatial_kernels() {
  max_pool_forward.cpu = pool_forward;
  batch_norm_apply_max_pool.cpu = apply_and_pool;
  max_pool_backward.cpu = pool_backward;
  upsample_concat_forward.cpu = concat_forward;
  upsample_concat_backward.cpu = concat_backward;
}

}  // namespace fjord
