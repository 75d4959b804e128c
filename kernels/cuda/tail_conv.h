// The parts of the tail's convolutions, forward and backward-data: how a tile of x meets the
// filter.
#pragma once

#include <algorithm>

#include "kernels/cuda/tail_launch.h"
#include "kernels/cuda/tail_store.h"

namespace fjord::cuda {

/// The numbers that follow from `inputs` channels of x and `outputs` channels of y at a time. More
/// outputs take several turns over the same tile of x.
template <int inputs, int outputs>
struct TailForm {
  static constexpr int steps = inputs == 8 ? 2 : 3 * inputs / 16;  // see FilterPacking
  static constexpr int groups = outputs / 8;                       // n8 operands
  static constexpr unsigned step_bytes = 3 * groups * 256, filter_bytes = steps * step_bytes;

  static constexpr unsigned shared(unsigned rows) {
    return (rows + 2) * (kTileColumns + 2) * inputs * 2 + filter_bytes;
  }
  static constexpr int rows = shared(16) <= kSharedForTwo ? 16 : 8;
  static constexpr unsigned shared_bytes = shared(rows);
  static constexpr int threads = rows / kBlockRows * kBlocksAcross * 32;
  // On one multiprocessor, as registers allow without spilling.
  static constexpr int warps_that_fit() {
    if (outputs == 8) return 32;
    if (outputs == 16 && inputs == 16) return 24;
    return outputs == 32 && inputs > 16 ? 12 : 16;
  }
  static constexpr int blocks = warps_that_fit() * 32 / threads;

  using Tile = TileLayout<inputs, rows, 1>;
  using Sums = float[kBlockRows][groups][4];
};

/// What the kernels are given.
template <class T>
struct TailConv {
  const T* x;
  int inputs;  // 1 to 8 when the form's are 8, else equal
  const uint4* filter;
  const float* bias;  // may be null
  const T* added;     // as y: its old values, or a residual; may be null
  T* y;
  int outputs;  // all of them; the kernel takes them a turn at a time
  bool relu;
  TileGrid grid;
  int tiles_per_block;
};

/// Brings the filter of a turn into shared memory; commit and wait before reading.
template <class Form>
__device__ void load_filter(char* shared, const uint4* filter, int turn) {
  constexpr unsigned packs = Form::filter_bytes / 16;
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < packs; i += blockDim.x)
    cp_async16(shared + i * 16, filter + static_cast<unsigned>(turn) * packs + i);
}

/// The operands of one step for the three taps of a column of the filter.
template <int groups>
__device__ void read_filter(std::uint32_t (&filter)[3][groups][2], const char* step, Lane lane) {
  constexpr int words = groups == 1 ? 2 : 4, parts = groups * 2 / words;
  using Words = Pack<std::uint32_t, words>;
#pragma unroll
  for (int tap = 0; tap < 3; ++tap)
#pragma unroll
    for (int part = 0; part < parts; ++part) {
      const Words read =
          reinterpret_cast<const Words*>(step)[(tap * parts + part) * 32 + lane.index];
#pragma unroll
      for (int i = 0; i < words; ++i) filter[tap][part * words / 2 + i / 2][i % 2] = read[i];
    }
}

/// Where this thread's row of the pixel operand of a step begins, in the first row of the block.
template <int inputs, class Tile>
__device__ const char* pixel_operand(const char* tile, unsigned block, unsigned step, Lane lane) {
  const unsigned pixel = lane.index % 16, half = lane.index / 16;
  const unsigned per_shift = inputs == 8 ? 1 : inputs / 16;
  const unsigned shift = inputs == 8 ? min(2 * step + half, 2u) : step / per_shift;
  const unsigned octet = inputs == 8 ? 0 : step % per_shift * 2 + half;
  return tile + Tile::offset(block / kBlocksAcross * kBlockRows,
                             block % kBlocksAcross * kBlockColumns + pixel + shift, octet);
}

/// sums[row][group] += x * filter for a block of 4 x 16 pixels. A row of x with its border meets
/// three rows of y, one for each tap of the column.
template <class T, int inputs, int outputs>
__device__ void accumulate(typename TailForm<inputs, outputs>::Sums& sums, const char* tile,
                           const char* filter, unsigned block, Lane lane) {
  using Form = TailForm<inputs, outputs>;
#pragma unroll 1
  for (unsigned step = 0; step < Form::steps; ++step) {
    std::uint32_t taps[3][Form::groups][2];
    read_filter(taps, filter + step * Form::step_bytes, lane);
    const char* operand = pixel_operand<inputs, typename Form::Tile>(tile, block, step, lane);
#pragma unroll
    for (int halo_row = 0; halo_row < kBlockRows + 2; ++halo_row) {
      std::uint32_t pixels[4];
      ldmatrix_x4(pixels, operand + halo_row * Form::Tile::row_bytes);
#pragma unroll
      for (int tap = 0; tap < 3; ++tap) {
        const int row = halo_row - tap;
        if (row < 0 || row >= kBlockRows) continue;
#pragma unroll
        for (int group = 0; group < Form::groups; ++group)
          mma16816(sums[row][group], pixels, taps[tap][group], T{});
      }
    }
  }
}

/// Zero, or the bias of `count` channels.
template <int groups>
__device__ void begin_sums(float (&sums)[kBlockRows][groups][4], const float* bias, int count,
                           Lane lane) {
#pragma unroll
  for (int i = 0; i < groups * 2; ++i) {
    const int group = i / 2, odd = i % 2;
    const int channel = output_channel(groups * 8, group, static_cast<int>(lane.member) * 2 + odd);
    const float value = bias && channel < count ? bias[channel] : 0;
#pragma unroll
    for (int row = 0; row < kBlockRows; ++row)
      sums[row][group][odd] = sums[row][group][odd + 2] = value;
  }
}

/// Where a warp's block goes whose upper left pixel is `block`.
template <class T>
__device__ BlockTarget<T> target_of(const TailConv<T>& a, TilePosition block, int first_channel) {
  const std::int64_t row = static_cast<std::int64_t>(block.image) * a.grid.height + block.row;
  const std::int64_t corner = (row * a.grid.width + block.column) * a.outputs + first_channel;
  return {.data = a.y + corner,
          .added = a.added ? a.added + corner : nullptr,
          .channels = a.outputs,
          .row_values = a.grid.width * a.outputs,
          .rows = a.grid.height - block.row,
          .columns = a.grid.width - block.column,
          .relu = a.relu};
}

/// Enough blocks to fill a large card about twice; more tiles a block then read the filter less
/// often.
inline int tiles_per_block(int tiles) {
  constexpr int enough = 1024;
  return std::clamp(tiles / enough, 1, 8);
}

}  // namespace fjord::cuda
