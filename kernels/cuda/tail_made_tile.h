// A tile of the gradient before a batch normalisation, made of the gradient behind it where that
// has arrived in shared memory.
#pragma once

#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

/// dy = scale * (dz - mean(dz) - xhat * mean(dz * xhat)) of `channels` channels, where dz is the
/// tile's gradient masked by ReLU. It goes to `made` as well; null: the tile is dy already.
template <class T>
struct TileMade {
  T* made;
  const T* raw;
  const float *scale, *shift, *mean, *inv_std, *sums;  // sums: of dz, then of dz * xhat
  int channels;
  bool relu;
  float pixels;
};

/// Each thread changes the octets that it brought itself, as normalize_tile; `first`: the tile's
/// first channel. Every pixel of the image has to be in one tile alone.
template <class Layout, class T>
__device__ void make_tile(char* tile, const TileMade<T>& m, int first, const TileGrid& grid,
                          TilePosition position) {
  static_assert(32 % Layout::octets == 0 && Layout::border == 0);
  constexpr unsigned row_octets = Layout::columns * Layout::octets;
  const unsigned lane = threadIdx.x % 32, octet = lane % Layout::octets;
  const int channel = first + static_cast<int>(octet) * 8;
  const Floats<8> scale = load_floats<8>(m.scale + channel);
  const Floats<8> shift = load_floats<8>(m.shift + channel);
  const Floats<8> mean = load_floats<8>(m.mean + channel);
  Floats<8> mean_dz = load_floats<8>(m.sums + channel);
  Floats<8> slope = load_floats<8>(m.sums + m.channels + channel);
  const Floats<8> inv_std = load_floats<8>(m.inv_std + channel);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    mean_dz[k] /= m.pixels;
    slope[k] = slope[k] / m.pixels * inv_std[k];
  }
#pragma unroll 1
  for (unsigned row = threadIdx.x / 32; row < Layout::rows; row += blockDim.x / 32) {
    const int y = position.row + static_cast<int>(row);
    if (y >= grid.height) continue;
    const std::int64_t line = static_cast<std::int64_t>(position.image) * grid.height + y;
#pragma unroll 1
    for (unsigned i = lane; i < row_octets; i += 32) {
      const int column = static_cast<int>(i / Layout::octets), x = position.column + column;
      if (x >= grid.width) continue;
      const std::int64_t at = (line * grid.width + x) * m.channels + channel;
      T* const slot = reinterpret_cast<T*>(tile + Layout::offset(row, i / Layout::octets, octet));
      const Floats<8> dz = load_floats<8>(slot), raw = load_floats<8>(m.raw + at);
      Floats<8> dy;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const float passed = m.relu && raw[k] * scale[k] + shift[k] <= 0 ? 0 : dz[k];
        dy[k] = scale[k] * (passed - mean_dz[k] - (raw[k] - mean[k]) * slope[k]);
      }
      store_floats<8>(slot, dy);
      store_floats<8>(m.made + at, dy);
    }
  }
}

}  // namespace fjord::cuda
