// A tile that is read through a normalisation: what has arrived in shared memory is made what the
// pass of its own would have stored.
#pragma once

#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

/// act(x * scale + shift) of 16, 32 or 64 channels, act none or ReLU; scale null: x as it is.
struct TileNorm {
  const float *scale, *shift;
  bool relu;
};

/// A NaN stays a NaN.
__device__ inline Floats<8> normalized(Floats<8> x, const Floats<8>& scale, const Floats<8>& shift,
                                       bool relu) {
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const float z = x[k] * scale[k] + shift[k];
    x[k] = relu && z < 0 ? 0 : z;
  }
  return x;
}

/// Each thread changes the octets that it brought itself, in load_tile's order, so that between
/// waiting for them and this no barrier is needed; behind it one is. Zeros around the image stay.
template <class Layout, class T>
__device__ void normalize_tile(char* tile, const TileNorm& norm, const TileGrid& grid,
                               TilePosition position) {
  static_assert(32 % Layout::octets == 0, "all octets of a lane are of the same channels");
  constexpr unsigned row_octets = Layout::columns * Layout::octets;
  const unsigned lane = threadIdx.x % 32, octet = lane % Layout::octets;
  const Floats<8> scale = load_floats<8>(norm.scale + octet * 8);
  const Floats<8> shift = load_floats<8>(norm.shift + octet * 8);
  const int left = position.column - Layout::border, top = position.row - Layout::border;
#pragma unroll 1
  for (unsigned row = threadIdx.x / 32; row < Layout::rows; row += blockDim.x / 32) {
    // A negative number is a large unsigned one.
    if (top + row >= static_cast<unsigned>(grid.height)) continue;
#pragma unroll 1
    for (unsigned i = lane; i < row_octets; i += 32) {
      const unsigned column = i / Layout::octets;
      if (left + column >= static_cast<unsigned>(grid.width)) continue;
      T* const slot = reinterpret_cast<T*>(tile + Layout::offset(row, column, octet));
      store_floats<8>(slot, normalized(load_floats<8>(slot), scale, shift, norm.relu));
    }
  }
}

}  // namespace fjord::cuda
