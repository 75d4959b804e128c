// Max-pool, a row at a time, vectors along the channels.
#include "kernels/cpu/loops_isa.h"

namespace fjord::FJORD_ISA {

namespace {

// y and tap take the window position where x is larger; a NaN wins, as in PyTorch.
FJORD_HD void take_larger(const float* __restrict x, std::int64_t channels, std::uint8_t position,
                          float* __restrict y, std::uint8_t* __restrict tap) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const bool larger = (x[c] > y[c]) | (x[c] != x[c]);
    y[c] = larger ? x[c] : y[c];
    tap[c] = larger ? position : tap[c];
  }
}

}  // namespace

void max_pool(const PoolRow& r, const float* x, float* y, std::uint8_t* tap) {
  for (std::int64_t ox = 0; ox < r.out_w; ++ox, y += r.channels, tap += r.channels) {
    bool first = true;
    for (int ky = 0; ky < r.kernel; ++ky) {
      const std::int64_t iy = r.row * r.stride - r.padding + ky;
      if (iy < 0 || iy >= r.h) continue;
      for (int kx = 0; kx < r.kernel; ++kx) {
        const std::int64_t ix = ox * r.stride - r.padding + kx;
        if (ix < 0 || ix >= r.w) continue;
        const float* source = x + (iy * r.w + ix) * r.channels;
        const auto position = static_cast<std::uint8_t>(ky * r.kernel + kx);
        if (first)
          for (std::int64_t c = 0; c < r.channels; ++c) y[c] = source[c], tap[c] = position;
        else
          take_larger(source, r.channels, position, y, tap);
        first = false;
      }
    }
  }
}

void max_pool_backward(const PoolRow& r, const float* dy, const std::uint8_t* tap, float* dx,
                       bool add) {
  for (std::int64_t ix = 0; ix < r.w; ++ix, dx += r.channels) {
    if (!add)
      for (std::int64_t c = 0; c < r.channels; ++c) dx[c] = 0.0f;
    for (int ky = 0; ky < r.kernel; ++ky) {
      const std::int64_t down = r.row + r.padding - ky;
      if (down < 0 || down % r.stride != 0 || down / r.stride >= r.out_h) continue;
      for (int kx = 0; kx < r.kernel; ++kx) {
        const std::int64_t across = ix + r.padding - kx;
        if (across < 0 || across % r.stride != 0 || across / r.stride >= r.out_w) continue;
        const std::int64_t at = (down / r.stride * r.out_w + across / r.stride) * r.channels;
        const float* __restrict gradient = dy + at;
        const std::uint8_t* __restrict winner = tap + at;
        float* __restrict sum = dx;
        const auto position = static_cast<std::uint8_t>(ky * r.kernel + kx);
        for (std::int64_t c = 0; c < r.channels; ++c)
          sum[c] += winner[c] == position ? gradient[c] : 0.0f;
      }
    }
  }
}

}  // namespace fjord::FJORD_ISA
