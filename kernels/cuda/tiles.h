// How kernels that look at neighbouring pixels share out an image: small tiles, so that what
// neighbours have in common is read from memory once.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/cuda/launch.h"

namespace fjord::cuda {

/// The size of one image of a tensor: less than 2^31 values, so that 32 bits address them.
struct Extent {
  int h = 0, w = 0, c = 0;

  __device__ std::int64_t values() const { return std::int64_t{h} * w * c; }
};
inline Extent extent(Shape shape) {
  check(shape.h * shape.w * shape.c <= std::numeric_limits<int>::max(), "a CUDA kernel",
        "an image of {} is too large", to_string(shape));
  return {static_cast<int>(shape.h), static_cast<int>(shape.w), static_cast<int>(shape.c)};
}

/// One image of a tensor, blockIdx.z, from a channel on: at(y, x) is the address of it in a pixel.
template <class T>
struct Plane {
  T* data;
  int channels, row;

  __device__ Plane(T* tensor, Extent extent, int first_channel)
      : data(tensor + blockIdx.z * extent.values() + first_channel),
        channels(extent.c),
        row(extent.w * extent.c) {}
  __device__ T* at(int y, int x) const { return data + (y * row + x * channels); }
};

/// Images of h x w pixels of `groups` groups of W channels. A block has one tile of `columns` x
/// (rows * kTurns) pixels and `lanes` groups; threads beyond them do nothing.
struct Tiles {
  static constexpr int kTurns = 4, kColumns = 16;

  int h = 0, w = 0, groups = 0, lanes = 1, columns = 1, rows = 1, across = 0, down = 0;

  int count() const { return across * down; }
  int chunks() const { return static_cast<int>(divide_up(groups, lanes)); }
  dim3 grid(std::int64_t images) const {
    return {static_cast<unsigned>(count()), static_cast<unsigned>(chunks()),
            static_cast<unsigned>(images)};
  }

  /// body(y, x, group) for this thread's pixels of a tile.
  template <class Body>
  __device__ void for_each(int tile, const Body& body) const {
    const int thread = static_cast<int>(threadIdx.x);
    const int group = static_cast<int>(blockIdx.y) * lanes + thread % lanes;
    const int place = thread / lanes;
    const int x = tile % across * columns + place % columns, row = place / columns;
    if (row >= rows || x >= w || group >= groups) return;
    const int top = tile / across * rows * kTurns + row;
    // Not unrolled: threads enough are under way, and their registers are what limits that.
#pragma unroll 1
    for (int turn = 0; turn < kTurns; ++turn)
      if (top + turn * rows < h) body(top + turn * rows, x, group);
  }
};

/// For groups of W channels of T, 128 bytes of them a pixel and block.
template <class T, int W>
Tiles tiles(Shape shape) {
  constexpr int line = 128 / (W * static_cast<int>(sizeof(T)));
  Tiles t;
  t.h = static_cast<int>(shape.h);
  t.w = static_cast<int>(shape.w);
  t.groups = static_cast<int>(shape.c) / W;
  t.lanes = std::min(t.groups, line);
  const int places = kThreads / t.lanes;
  t.columns = std::min(places, Tiles::kColumns);
  t.rows = places / t.columns;
  t.across = static_cast<int>(divide_up(t.w, t.columns));
  t.down = static_cast<int>(divide_up(t.h, t.rows * Tiles::kTurns));
  return t;
}

}  // namespace fjord::cuda
