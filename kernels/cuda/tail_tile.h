// A rectangle of an image in shared memory, laid out for ldmatrix, and how it gets there.
//
// Pixels stand row by row, each as octets: 8 channels in 16 bytes. ldmatrix reads the same octet of
// 8 neighbouring columns; that they lie in different banks is what the swizzle is for.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

/// Columns of every tile: two 16-pixel operands of mma16816.
inline constexpr int kTileColumns = 32;
/// A warp works on blocks of 4 rows by 16 columns, so that each pixel it reads serves three rows.
inline constexpr int kBlockRows = 4, kBlockColumns = 16;
inline constexpr int kBlocksAcross = kTileColumns / kBlockColumns;
/// Shared memory with which two thread blocks fit in the 100 KB of sm_86, 89 and 120, each with the
/// 1 KB that the system takes.
inline constexpr int kSharedForTwo = 49 * 1024;

/// `channels` channels of a tile of `tile_rows` rows with `border` more pixels on each side.
template <int channels_, int tile_rows, int border_>
struct TileLayout {
  static constexpr int channels = channels_, border = border_;
  static constexpr unsigned rows = tile_rows + 2 * border, columns = kTileColumns + 2 * border;
  static constexpr unsigned octets = channels / 8;
  static constexpr unsigned row_bytes = columns * octets * 16;
  static constexpr unsigned bytes = rows * row_bytes;

  /// Neighbouring columns are `octets` apart, so after `period` columns banks (8 octets) repeat;
  /// the columns of the next period read another octet of their group then.
  static constexpr unsigned group = octets % 8 == 0   ? 8
                                    : octets % 4 == 0 ? 4
                                    : octets % 2 == 0 ? 2
                                                      : 1;
  static constexpr unsigned period = 8 / group;

  static __device__ unsigned offset(unsigned row, unsigned column, unsigned octet) {
    const unsigned swizzled = octet ^ (column / period % group);
    return row * row_bytes + (column * octets + swizzled) * 16;
  }
};

/// The tiles that cover a batch of images: along rows first, then down, then image by image.
struct TileGrid {
  int images, height, width;
  int down, across;

  __host__ __device__ int count() const { return images * down * across; }
};

/// The upper left pixel of a tile.
struct TilePosition {
  int image, row, column;
};

__device__ inline TilePosition tile_position(const TileGrid& grid, unsigned tile, int tile_rows) {
  const auto across = static_cast<unsigned>(grid.across), down = static_cast<unsigned>(grid.down);
  const unsigned line = tile / across;
  return {static_cast<int>(line / down), static_cast<int>(line % down) * tile_rows,
          static_cast<int>(tile % across) * kTileColumns};
}

/// Whether any pixel of a tile or block that begins there lies in the image.
__device__ inline bool inside(const TileGrid& grid, TilePosition position) {
  return position.row < grid.height && position.column < grid.width;
}

/// The upper left pixel of a warp's block `block` within a tile.
__device__ inline TilePosition block_position(TilePosition tile, unsigned block) {
  return {tile.image, tile.row + static_cast<int>(block / kBlocksAcross) * kBlockRows,
          tile.column + static_cast<int>(block % kBlocksAcross) * kBlockColumns};
}

/// A batch of images in global memory, from the first channel that a tile takes on.
template <class T>
struct TileSource {
  const T* data;
  int channels;  // from one pixel to the next
};

/// The channels of one pixel when they are no whole octet: a head's 1 to 7.
template <class T>
__device__ Pack<T> load_few(const T* pixel, int channels) {
  Pack<T> octet;
#pragma unroll
  for (int i = 0; i < 8; ++i) octet[i] = i < channels ? pixel[i] : from_float<T>(0);
  return octet;
}

/// One octet of a pixel of the image, or zeros outside of it.
template <class Layout, class T>
__device__ void load_octet(char* slot, const T* pixel, int channels, bool inside) {
  if (!inside)
    store(reinterpret_cast<T*>(slot), Pack<T>{});
  else if (Layout::octets > 1 || channels == 8)
    cp_async16(slot, pixel);
  else
    store(reinterpret_cast<T*>(slot), load_few(pixel, channels));
}

/// Brings a tile into shared memory, zeros outside of the image. Whole octets come asynchronously:
/// commit and wait before reading. All threads of the block call it. A warp takes a row at a time,
/// 32 octets side by side, so that from row to row addresses only move on.
template <class Layout, class T>
__device__ void load_tile(char* tile, const TileSource<T>& source, const TileGrid& grid,
                          TilePosition position) {
  constexpr unsigned row_octets = Layout::columns * Layout::octets;
  constexpr int turns = (row_octets + 31) / 32;
  const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32, first = threadIdx.x / 32;
  const int left = position.column - Layout::border, row_values = grid.width * source.channels;
  int row = position.row - Layout::border + static_cast<int>(first);
  const T* row_begin = source.data + left * source.channels +
                       (static_cast<std::int64_t>(position.image) * grid.height + row) * row_values;
  char* slots = tile + first * Layout::row_bytes;
#pragma unroll 1
  for (unsigned halo_row = first; halo_row < Layout::rows; halo_row += warps) {
    // A negative number is a large unsigned one.
    const bool row_inside = static_cast<unsigned>(row) < static_cast<unsigned>(grid.height);
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      const unsigned i = lane + turn * 32, column = i / Layout::octets, octet = i % Layout::octets;
      if (i >= row_octets) continue;
      const bool column_inside = left + column < static_cast<unsigned>(grid.width);
      const int place =
          source.channels == Layout::channels ? i * 8 : column * source.channels + octet * 8;
      load_octet<Layout>(slots + Layout::offset(0, column, octet), row_begin + place,
                         source.channels, row_inside && column_inside);
    }
    row += static_cast<int>(warps);
    row_begin += static_cast<int>(warps) * row_values;
    slots += warps * Layout::row_bytes;
  }
}

/// The place of a thread in the mma operands: PTX calls them groupID and threadID_in_group.
struct Lane {
  unsigned index, group, member;
};

__device__ inline Lane this_lane() {
  const unsigned index = threadIdx.x % 32;
  return {index, index / 4, index % 4};
}

}  // namespace fjord::cuda
