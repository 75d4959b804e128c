// Two sums a channel of what a tail convolution stores, added up in a fixed order: over a warp by
// exchange, over its tiles in shared memory, over the block's warps behind them all.
#pragma once

#include "kernels/cuda/tail_store.h"

namespace fjord::cuda {

/// Adds up what the 8 lanes with the same channels have: of N values half are left to each in every
/// one of three steps, so that N / 8 sums stay with it, those from lane.group * N / 8 on, in the
/// first places. All lanes of a warp call it.
template <unsigned left, unsigned bit = 4, unsigned N>
__device__ void exchange_sums(float (&values)[N], Lane lane) {
  const bool upper = lane.group & bit;
#pragma unroll
  for (unsigned i = 0; i < left / 2; ++i) {
    const float given = upper ? values[i] : values[i + left / 2];
    const float kept = upper ? values[i + left / 2] : values[i];
    values[i] = kept + __shfl_xor_sync(~0u, given, bit * 4);
  }
  if constexpr (bit > 1) exchange_sums<left / 2, bit / 2>(values, lane);
}

/// The sums of a block of `warps` warps, whose kernel takes `turns` turns of `outputs` channels: a
/// place for each lane of each warp and turn. Behind them `vectors` floats a channel of its own.
template <unsigned warps, unsigned turns, unsigned outputs, unsigned vectors>
struct BlockSums {
  static constexpr unsigned channels = turns * outputs;
  static constexpr unsigned width = outputs / 4;  // channels of a thread
  static constexpr unsigned values = 2 * width;   // of a thread: a sum of each, then the other
  static constexpr unsigned kept = values / 8;    // behind the exchange
  static constexpr unsigned count = warps * turns * kept * 32;
  static constexpr std::size_t bytes = (count + vectors * channels) * sizeof(float);
  float* data;

  __device__ float* slot(unsigned warp, unsigned turn, unsigned lane) const {
    return data + (warp * turns + turn) * kept * 32 + lane;
  }
  /// The first vector's values of the channels that a thread has in this turn.
  __device__ float* vector(unsigned turn, Lane lane) const {
    return data + count + turn * outputs + lane.member * width;
  }
  /// No barrier is needed between this and add(): a lane has places of its own.
  __device__ void clear(Lane lane) const {
    float* const own = slot(threadIdx.x / 32, 0, lane.index);
#pragma unroll
    for (unsigned i = 0; i < turns * kept; ++i) own[i * 32] = 0;
  }
  /// All lanes of a warp call it.
  __device__ void add(unsigned turn, float (&sums)[values], Lane lane) const {
    exchange_sums<values>(sums, lane);
    float* const own = slot(threadIdx.x / 32, turn, lane.index);
#pragma unroll
    for (unsigned i = 0; i < kept; ++i) own[i * 32] += sums[i];
  }
  /// Sum 0 or 1 of a channel, warp by warp. A barrier is needed before.
  __device__ float total(unsigned channel, unsigned which) const {
    const unsigned turn = channel / outputs, place = channel % outputs;
    const unsigned value = which * width + place % width;
    const float* const own = slot(0, turn, value / kept * 4 + place / width) + value % kept * 32;
    float sum = 0;
    for (unsigned warp = 0; warp < warps; ++warp) sum += own[warp * turns * kept * 32];
    return sum;
  }
};

/// each(half, offset) for the two pixels of a block's row that this thread has, where they lie in
/// the image: which of them it is, and where its values go.
template <int width, class T, class Each>
__device__ void each_pixel(int row, const BlockTarget<T>& y, Lane lane, const Each& each) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int column = static_cast<int>(lane.group) + 8 * half;
    if (row < y.rows && column < y.columns)
      each(half, row * y.row_values + column * y.channels + static_cast<int>(lane.member) * width);
  }
}

/// The values of such a pixel, neighbours in memory.
template <int groups>
__device__ Floats<groups * 2> pixel_of(const float (&sums)[kBlockRows][groups][4], int row,
                                       int half) {
  Floats<groups * 2> values;
#pragma unroll
  for (int i = 0; i < groups * 2; ++i) values[i] = sums[row][i / 2][half * 2 + i % 2];
  return values;
}

/// Rounds to T, as stored.
template <class T, int W>
__device__ Floats<W> rounded(Floats<W> values) {
#pragma unroll
  for (int k = 0; k < W; ++k) values[k] = to_float(from_float<T>(values[k]));
  return values;
}

}  // namespace fjord::cuda
