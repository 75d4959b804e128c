// Pooling and resampling, pixel by pixel.
#include "kernels/spatial.h"

#include <algorithm>
#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

std::int64_t at(Shape s, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) {
  return ((n * s.h + y) * s.w + x) * s.c + c;
}

template <class Body>
void for_each(Shape s, const Body& body) {
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t y = 0; y < s.h; ++y)
      for (std::int64_t x = 0; x < s.w; ++x)
        for (std::int64_t c = 0; c < s.c; ++c) body(n, y, x, c);
}

void clear(Out out) {
  if (!out || out.write == Write::add) return;
  for (std::int64_t i = 0; i < out.shape().count(); ++i) out.as<double>()[i] = 0;
}

void pool_forward(In x, Out y, Out tap, Pool2d pool, Stream&) {
  const Shape from = x.shape();
  for_each(y.shape(), [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
    double best = 0;
    int winner = -1;
    for (int position = 0; position < pool.kernel * pool.kernel; ++position) {
      const std::int64_t iy = oy * pool.stride - pool.padding + position / pool.kernel;
      const std::int64_t ix = ox * pool.stride - pool.padding + position % pool.kernel;
      if (iy < 0 || iy >= from.h || ix < 0 || ix >= from.w) continue;
      const double value = x.as<double>()[at(from, n, iy, ix, c)];
      if (winner < 0 || value > best || std::isnan(value)) best = value, winner = position;
    }
    y.as<double>()[at(y.shape(), n, oy, ox, c)] = best;
    tap.as<std::uint8_t>()[at(y.shape(), n, oy, ox, c)] = static_cast<std::uint8_t>(winner);
  });
}

void apply_and_pool(In x, In scale, In shift, Out y, Out pooled, Out tap, Act act, Pool2d pool,
                    Stream& stream) {
  batch_norm_apply.reference(x, scale, shift, {}, y, act, stream);
  pool_forward({y.buffer}, pooled, tap, pool, stream);
}

void pool_backward(In dy, In tap, Out dx, Pool2d pool, Stream&) {
  clear(dx);
  for_each(dy.shape(), [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
    const std::int64_t i = at(dy.shape(), n, oy, ox, c);
    const int position = tap.as<std::uint8_t>()[i];
    const std::int64_t iy = oy * pool.stride - pool.padding + position / pool.kernel;
    const std::int64_t ix = ox * pool.stride - pool.padding + position % pool.kernel;
    dx.as<double>()[at(dx.shape(), n, iy, ix, c)] += dy.as<double>()[i];
  });
}

// PyTorch's nearest neighbour computes the ratio in float whatever the tensor's type.
std::int64_t nearest(std::int64_t out, std::int64_t in_size, std::int64_t out_size) {
  const float ratio = static_cast<float>(in_size) / static_cast<float>(out_size);
  return std::min(static_cast<std::int64_t>(std::floor(static_cast<float>(out) * ratio)),
                  in_size - 1);
}

void concat_forward(In low, In skip, Out y, Stream&) {
  const Shape from = low.shape(), to = y.shape();
  for_each(to, [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
    const double value =
        c < from.c
            ? low.as<double>()[at(from, n, nearest(oy, from.h, to.h), nearest(ox, from.w, to.w), c)]
            : skip.as<double>()[at(skip.shape(), n, oy, ox, c - from.c)];
    put(y, at(to, n, oy, ox, c), value);
  });
}

void concat_backward(In dy, Out dlow, Out dskip, Stream&) {
  clear(dlow);
  clear(dskip);
  const std::int64_t low_channels =
      dlow ? dlow.shape().c : dy.shape().c - (dskip ? dskip.shape().c : 0);
  for_each(dy.shape(), [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t c) {
    const double value = dy.as<double>()[at(dy.shape(), n, oy, ox, c)];
    if (c >= low_channels && dskip)
      dskip.as<double>()[at(dskip.shape(), n, oy, ox, c - low_channels)] += value;
    if (c < low_channels && dlow)
      dlow.as<double>()[at(dlow.shape(), n, nearest(oy, dlow.shape().h, dy.shape().h),
                           nearest(ox, dlow.shape().w, dy.shape().w), c)] += value;
  });
}

}  // namespace

void fill_spatial() {
  max_pool_forward.reference = pool_forward;
  batch_norm_apply_max_pool.reference = apply_and_pool;
  max_pool_backward.reference = pool_backward;
  upsample_concat_forward.reference = concat_forward;
  upsample_concat_backward.reference = concat_backward;
}

}  // namespace fjord::reference
