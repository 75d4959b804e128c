// The parts of the kernels that sum the tail's filter gradient: how tiles of x and dy meet.
#pragma once

#include <algorithm>

#include "kernels/cuda/tail_tile.h"

namespace fjord::cuda {

/// The numbers that follow from `inputs` channels of x and `outputs` channels of dy at a time. A
/// part is what one warp keeps: 16 inputs by 16 outputs (8 for a head).
template <int inputs, int outputs>
struct FilterForm {
  static constexpr int groups = outputs == 8 ? 1 : 2;  // n8 operands of a part
  static constexpr unsigned input_parts = inputs / 16;
  static constexpr unsigned parts = input_parts * (outputs == 8 ? 1 : outputs / 16);
  // Accumulators of a part: a 16 x 8 for each tap and group, and one for the head's dbias.
  static constexpr int fragments = 9 * groups + (outputs == 8 ? 1 : 0);
  static constexpr unsigned part_values = fragments * 4 * 32;

  static constexpr int rows = 8;
  static constexpr unsigned blocks = rows / kBlockRows * kBlocksAcross;  // of 4 x 16 pixels
  /// Warps that share a part, each with other pixels.
  static constexpr unsigned splits = 4 / parts;
  static constexpr unsigned threads = parts * splits * 32;

  using TileX = TileLayout<inputs, rows, 1>;
  using TileDy = TileLayout<outputs, rows, 0>;
  using Sums = float[fragments][4];
  static constexpr unsigned sums_bytes = splits > 1 ? parts* part_values * 4 : 0;
  static constexpr unsigned shared_bytes = std::max(TileX::bytes + TileDy::bytes, sums_bytes);
};

/// What the kernels are given.
template <class T>
struct TailFilterSums {
  const T *x, *dy;
  int outputs;     // all of them
  float* partial;  // see FilterPartials
  TileGrid grid;
};

/// What a warp works on.
struct Warp {
  unsigned input_part, output_part, part, split;
};

template <class Form>
__device__ Warp this_warp() {
  const unsigned warp = threadIdx.x / 32, part = warp % Form::parts;
  return {part % Form::input_parts, part / Form::input_parts, part, warp / Form::parts};
}

/// 1 and 1 in the two halves of an operand's word.
__device__ constexpr std::uint32_t ones(__nv_bfloat16) { return 0x3F803F80u; }
__device__ constexpr std::uint32_t ones(__half) { return 0x3C003C00u; }

/// Where this thread's row of the operands begins, in the first row of the block.
template <class Form>
__device__ const char* x_operand(const char* tile, unsigned block, unsigned shift, Warp warp,
                                 Lane lane) {
  const unsigned matrix = lane.index / 8, pixel = lane.index % 8 + matrix / 2 * 8;
  const unsigned column = block % kBlocksAcross * kBlockColumns + pixel + shift;
  return tile + Form::TileX::offset(block / kBlocksAcross * kBlockRows, column,
                                    warp.input_part * 2 + matrix % 2);
}

/// A head has one octet: its second pair of matrices repeats the first and is not used.
template <class Form>
__device__ const char* dy_operand(const char* tile, unsigned block, Warp warp, Lane lane) {
  const unsigned matrix = lane.index / 8, pixel = lane.index % 8 + matrix % 2 * 8;
  const unsigned octet = Form::groups == 1 ? 0 : warp.output_part * 2 + matrix / 2;
  return tile + Form::TileDy::offset(block / kBlocksAcross * kBlockRows,
                                     block % kBlocksAcross * kBlockColumns + pixel, octet);
}

/// One row of 16 pixels of dy; its sums are the head's dbias.
template <class T, class Form>
__device__ void read_dy(std::uint32_t (&dy)[Form::groups][2], typename Form::Sums& sums,
                        const char* row) {
  std::uint32_t read[4];
  ldmatrix_x4_trans(read, row);
#pragma unroll
  for (int i = 0; i < Form::groups * 2; ++i) dy[i / 2][i % 2] = read[i];
  if constexpr (Form::groups == 1) {
    const std::uint32_t one[4] = {ones(T{}), ones(T{}), ones(T{}), ones(T{})};
    mma16816(sums[9], one, dy[0], T{});
  }
}

/// sums += x * dy over a block of 4 x 16 pixels. A row of x meets three rows of dy, one for each
/// row of taps.
template <class T, class Form>
__device__ void accumulate(typename Form::Sums& sums, const char* tile_x, const char* tile_dy,
                           unsigned block, Warp warp, Lane lane) {
  const char* const dy_begin = dy_operand<Form>(tile_dy, block, warp, lane);
  std::uint32_t dy[3][Form::groups][2];
#pragma unroll
  for (int halo_row = 0; halo_row < kBlockRows + 2; ++halo_row) {
    if (halo_row < kBlockRows)
      read_dy<T, Form>(dy[halo_row % 3], sums, dy_begin + halo_row * Form::TileDy::row_bytes);
#pragma unroll
    for (int shift = 0; shift < 3; ++shift) {
      std::uint32_t x[4];
      const char* const x_begin = x_operand<Form>(tile_x, block, shift, warp, lane);
      ldmatrix_x4_trans(x, x_begin + halo_row * Form::TileX::row_bytes);
#pragma unroll
      for (int tap = 0; tap < 3; ++tap) {
        const int row = halo_row - tap;
        if (row < 0 || row >= kBlockRows) continue;
#pragma unroll
        for (int group = 0; group < Form::groups; ++group)
          mma16816(sums[(tap * 3 + shift) * Form::groups + group], x, dy[row % 3][group], T{});
      }
    }
  }
}

/// Adds the sums of the warps that share a part, in their order, and writes them to global memory.
/// `shared` may hold the tiles still.
template <class Form>
__device__ void finish(const typename Form::Sums& sums, float* shared, float* partial, Warp warp,
                       Lane lane) {
  const unsigned begin = warp.part * Form::part_values + lane.index;
#pragma unroll 1
  for (unsigned split = 0; split < Form::splits; ++split) {
    __syncthreads();
    if (warp.split != split) continue;
#pragma unroll
    for (int i = 0; i < Form::fragments * 4; ++i) {
      const unsigned place = begin + i * 32;
      const float sum = split > 0 ? shared[place] + sums[i / 4][i % 4] : sums[i / 4][i % 4];
      (split == Form::splits - 1 ? partial : shared)[place] = sum;
    }
  }
}

/// The tiles of a block: equal numbers, neighbours together.
__device__ inline int first_tile(const TileGrid& grid, unsigned block) {
  return static_cast<int>(static_cast<std::int64_t>(grid.count()) * block / gridDim.x);
}

}  // namespace fjord::cuda
