// Pooling and resampling on the CPU, shared out by image rows.
#include "kernels/spatial.h"

#include <cstring>
#include <utility>
#include <vector>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/resize_math.h"

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

void copy_window(In x, Out y, Window window, Stream&) {
  const Shape from = x.shape(), to = y.shape();
  const bool add = y.write == Write::add;
  const std::int64_t left = std::clamp<std::int64_t>(window.left, 0, to.w);
  const std::int64_t right = std::clamp<std::int64_t>(window.left + from.w, left, to.w);
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    float* target = y.as<float>() + i * to.w * to.c;
    const std::int64_t row = i % to.h - window.top;
    const bool inside = row >= 0 && row < from.h;
    const std::int64_t begin = inside ? left : to.w, end = inside ? right : to.w;
    if (!add) {
      std::fill_n(target, begin * to.c, 0.0f);
      std::fill_n(target + end * to.c, (to.w - end) * to.c, 0.0f);
    }
    if (!inside) return;
    const float* source =
        x.as<float>() + ((i / to.h * from.h + row) * from.w + left - window.left) * from.c;
    loops().copy(source, target + left * to.c, (right - left) * to.c, add);
  });
}

int extent_in(std::int64_t begin, std::int64_t size, const AvgPool2d& pool) {
  return window_extent(static_cast<int>(begin), static_cast<int>(size), pool);
}

void avg_forward(In x, Out y, AvgPool2d pool, Stream&) {
  const Shape from = x.shape(), to = y.shape();
  const Pool2d& w = pool.window;
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t top = i % to.h * w.stride - w.padding;
    std::vector<float> sum(static_cast<std::size_t>(to.c));
    for (std::int64_t u = 0; u < to.w; ++u) {
      const std::int64_t left = u * w.stride - w.padding;
      std::ranges::fill(sum, 0.0f);
      for (std::int64_t v = std::max<std::int64_t>(0, top); v < std::min(from.h, top + w.kernel);
           ++v)
        for (std::int64_t s = std::max<std::int64_t>(0, left);
             s < std::min(from.w, left + w.kernel); ++s)
          loops().copy(x.as<float>() + ((i / to.h * from.h + v) * from.w + s) * from.c, sum.data(),
                       to.c, true);
      const float share =
          1.0f / static_cast<float>(extent_in(top, from.h, pool) * extent_in(left, from.w, pool));
      for (float& value : sum) value *= share;
      loops().copy(sum.data(), y.as<float>() + (i * to.w + u) * to.c, to.c, y.write == Write::add);
    }
  });
}

void avg_backward(In dy, Out dx, AvgPool2d pool, Stream&) {
  const Shape from = dy.shape(), to = dx.shape();
  const Pool2d& w = pool.window;
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const std::int64_t down = i % to.h + w.padding;
    std::vector<float> sum(static_cast<std::size_t>(to.c));
    for (std::int64_t u = 0; u < to.w; ++u) {
      const std::int64_t across = u + w.padding;
      std::ranges::fill(sum, 0.0f);
      for (std::int64_t v = std::min(down / w.stride, from.h - 1);
           v >= 0 && down - v * w.stride < w.kernel; --v)
        for (std::int64_t s = std::min(across / w.stride, from.w - 1);
             s >= 0 && across - s * w.stride < w.kernel; --s) {
          const float share =
              1.0f / static_cast<float>(extent_in(v * w.stride - w.padding, to.h, pool) *
                                        extent_in(s * w.stride - w.padding, to.w, pool));
          const float* pixel = dy.as<float>() + ((i / to.h * from.h + v) * from.w + s) * from.c;
          for (std::int64_t c = 0; c < to.c; ++c)
            sum[static_cast<std::size_t>(c)] += share * pixel[c];
        }
      loops().copy(sum.data(), dx.as<float>() + (i * to.w + u) * to.c, to.c,
                   dx.write == Write::add);
    }
  });
}

ResizeAxis axis(std::int64_t in, std::int64_t out, Interpolation mode) {
  return {static_cast<int>(in), static_cast<int>(out), mode};
}

// Values of one axis with their weights.
using Shares = std::vector<std::pair<std::int64_t, float>>;

Shares inputs_of(const ResizeAxis& axis, int o) {
  Shares shares;
  for (int i = axis.first_input(o); i <= axis.last_input(o); ++i)
    if (const float weight = axis.weight(o, i); weight != 0) shares.emplace_back(i, weight);
  return shares;
}

Shares outputs_of(const ResizeAxis& axis, int i) {
  Shares shares;
  for (int o = axis.first_output(i); o <= axis.last_output(i); ++o)
    if (const float weight = axis.weight(o, i); weight != 0) shares.emplace_back(o, weight);
  return shares;
}

// y's pixels as weighted sums of x's.
void gather(In x, Out y, const ResizeAxis& down, const ResizeAxis& across,
            Shares (*shares)(const ResizeAxis&, int)) {
  const Shape from = x.shape(), to = y.shape();
  std::vector<Shares> columns;
  for (int u = 0; u < to.w; ++u) columns.push_back(shares(across, u));
  parallel_for(to.n * to.h, [&](std::int64_t i) {
    const Shares rows = shares(down, static_cast<int>(i % to.h));
    std::vector<float> sum(static_cast<std::size_t>(to.c));
    for (std::int64_t u = 0; u < to.w; ++u) {
      std::ranges::fill(sum, 0.0f);
      for (const auto& [row, a] : rows)
        for (const auto& [column, b] : columns[static_cast<std::size_t>(u)]) {
          const float* pixel =
              x.as<float>() + ((i / to.h * from.h + row) * from.w + column) * from.c;
          for (std::int64_t c = 0; c < to.c; ++c)
            sum[static_cast<std::size_t>(c)] += a * b * pixel[c];
        }
      loops().copy(sum.data(), y.as<float>() + (i * to.w + u) * to.c, to.c, y.write == Write::add);
    }
  });
}

void resize_values(In x, Out y, Interpolation mode, Stream&) {
  gather(x, y, axis(x.shape().h, y.shape().h, mode), axis(x.shape().w, y.shape().w, mode),
         inputs_of);
}

void resize_gradient(In dy, Out dx, Interpolation mode, Stream&) {
  gather(dy, dx, axis(dx.shape().h, dy.shape().h, mode), axis(dx.shape().w, dy.shape().w, mode),
         outputs_of);
}

}  // namespace

void fill_spatial_kernels() {
  max_pool_forward.cpu = pool_forward;
  batch_norm_apply_max_pool.cpu = apply_and_pool;
  max_pool_backward.cpu = pool_backward;
  upsample_concat_forward.cpu = concat_forward;
  upsample_concat_backward.cpu = concat_backward;
  window_copy.cpu = copy_window;
  avg_pool_forward.cpu = avg_forward;
  avg_pool_backward.cpu = avg_backward;
  resize_forward.cpu = resize_values;
  resize_backward.cpu = resize_gradient;
}

}  // namespace fjord
