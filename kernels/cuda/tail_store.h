// How the sums of a tail convolution leave the registers: in whole sectors of 32 bytes wherever the
// channels fill them.
#pragma once

#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

/// The channel of y behind column `column` of n8 operand `group` when `outputs` are computed at a
/// time: so that the values which one thread receives are neighbours in memory.
__host__ __device__ constexpr int output_channel(int outputs, int group, int column) {
  return column / 2 * (outputs / 4) + 2 * group + column % 2;
}

/// Where the sums of a block of 4 x 16 pixels go, and what becomes of them before.
template <class T>
struct BlockTarget {
  T* data;            // the channels of its upper left pixel
  const T* added;     // laid out alike, y's old values or a residual; null: nothing
  int channels;       // from one pixel to the next
  int row_values;     // from one row to the next
  int rows, columns;  // of the image from there on
  bool relu;
};

/// A NaN stays a NaN.
template <int W, class T>
__device__ void put(const BlockTarget<T>& y, int offset, Floats<W> values) {
  if (y.added) {
    const Floats<W> others = load_floats<W>(y.added + offset);
#pragma unroll
    for (int i = 0; i < W; ++i) values[i] += others[i];
  }
#pragma unroll
  for (int i = 0; i < W; ++i) values[i] = y.relu && values[i] < 0 ? 0 : values[i];
  store_floats<W>(y.data + offset, values);
}

/// Stores one row, `row` values below the first: 16 pixels with 32 channels: each thread has 8
/// neighbours of two pixels, 8 apart.
template <class T>
__device__ void store_row(const float (&sums)[4][4], int row, const BlockTarget<T>& y, Lane lane) {
  const int member = static_cast<int>(lane.member);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Floats<8> octet;
#pragma unroll
    for (int i = 0; i < 8; ++i) octet[i] = sums[i / 2][half * 2 + i % 2];
    const int column = static_cast<int>(lane.group) + 8 * half;
    if (column < y.columns) put<8>(y, row + column * y.channels + member * 8, octet);
  }
}

/// With 16 channels a thread has 4 of each of two pixels; a warp's stores of 8 bytes fill 8 pixels,
/// 256 bytes. To exchange neighbours' halves for stores of 16 bytes takes more instructions.
template <class T>
__device__ void store_row(const float (&sums)[2][4], int row, const BlockTarget<T>& y, Lane lane) {
  const int member = static_cast<int>(lane.member);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Floats<4> four;
#pragma unroll
    for (int i = 0; i < 4; ++i) four[i] = sums[i / 2][half * 2 + i % 2];
    const int column = static_cast<int>(lane.group) + 8 * half;
    if (column < y.columns) put<4>(y, row + column * y.channels + member * 4, four);
  }
}

/// A head: 1 to 8 channels, 2 in each thread. It has no ReLU, and what is added can only be y's old
/// values: more would not fit into the registers.
template <class T>
__device__ void store_row(const float (&sums)[1][4], int row, const BlockTarget<T>& y, Lane lane) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int column = static_cast<int>(lane.group) + 8 * (i / 2);
    const int channel = static_cast<int>(lane.member) * 2 + i % 2;
    if (column < y.columns && channel < y.channels)
      write_floats<1>(y.data + (row + column * y.channels + channel), Floats<1>{{sums[0][i]}},
                      y.added != nullptr);
  }
}

/// All lanes of a warp call it.
template <class T, int groups>
__device__ void store_block(const float (&sums)[kBlockRows][groups][4], const BlockTarget<T>& y,
                            Lane lane) {
#pragma unroll
  for (int row = 0; row < kBlockRows; ++row)
    if (row < y.rows) store_row(sums[row], row * y.row_values, y, lane);
}

}  // namespace fjord::cuda
