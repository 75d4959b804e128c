// What a tail convolution between batch normalisations does beside its products: before them to the
// tile that has arrived, and behind them with the sums that it stores.
#pragma once

#include "kernels/cuda/tail_norm_tile.h"
#include "kernels/cuda/tail_sums.h"

namespace fjord::cuda {

/// Going forward: x is read through the normalisation before, and y's moments are made. Their row
/// of `partial` (null: none are made) holds how many pixels, their mean, their squared deviations.
struct NormForward {
  static constexpr unsigned vectors = 1, row_values = 3;  // floats a channel: shared, of a row
  // On a multiprocessor, as registers allow without spilling, of so many that tail_conv has.
  static constexpr int blocks(int, int plain) { return plain; }
  TileNorm x;
  float* partial;

  template <class Tile, class T>
  __device__ void read(char* tile, const TileGrid& grid, TilePosition position) const {
    if (x.scale) normalize_tile<Tile, T>(tile, x, grid, position);
  }

  // Deviations are from what the block stores first, so that a large mean costs few digits.
  template <class T, int groups, class Block>
  __device__ void begin(const float (&sums)[kBlockRows][groups][4], const Block& block,
                        unsigned turn, Lane lane) const {
    if (!partial) return;
    if (threadIdx.x < 4)
      store_floats<groups * 2>(block.vector(turn, lane), rounded<T>(pixel_of(sums, 0, 0)));
    __syncthreads();
  }

  template <class T, int groups, class Block>
  __device__ void end(const float (&sums)[kBlockRows][groups][4], const BlockTarget<T>& y,
                      std::int64_t, const Block& block, unsigned turn, Lane lane) const {
    constexpr int W = groups * 2;
    float totals[2 * W] = {};
    Floats<W> center{};
    if (partial) center = load_floats<W>(block.vector(turn, lane));
#pragma unroll
    for (int row = 0; row < kBlockRows; ++row)
      each_pixel<W>(row, y, lane, [&](int half, int offset) {
        const Floats<W> stored = rounded<T>(pixel_of(sums, row, half));
        store_floats<W>(y.data + offset, stored);
#pragma unroll
        for (int k = 0; k < W; ++k) {
          const float d = stored[k] - center[k];
          totals[k] += d;
          totals[W + k] += d * d;
        }
      });
    if (partial) block.add(turn, totals, lane);
  }

  template <class Block>
  __device__ void finish(const Block& block, unsigned pixels) const {
    const unsigned channels = Block::channels, c = threadIdx.x;
    if (!partial || c >= channels) return;
    const float count = static_cast<float>(pixels), sum = block.total(c, 0), d = sum / count;
    float* const row = partial + std::int64_t{blockIdx.x} * row_values * channels + c;
    row[0] = count;
    row[channels] = block.data[Block::count + c] + d;
    row[2 * channels] = block.total(c, 1) - sum * d;
  }
};

/// The same of a head, which nothing normalises.
struct NormHead {
  static constexpr unsigned vectors = 0, row_values = 0;
  static constexpr int blocks(int, int plain) { return plain - 1; }
  TileNorm x;

  template <class Tile, class T>
  __device__ void read(char* tile, const TileGrid& grid, TilePosition position) const {
    normalize_tile<Tile, T>(tile, x, grid, position);
  }
  template <class, class Sums, class Block>
  __device__ void begin(const Sums&, const Block&, unsigned, Lane) const {}
  template <class T, class Sums, class Block>
  __device__ void end(const Sums& sums, const BlockTarget<T>& y, std::int64_t, const Block&,
                      unsigned, Lane lane) const {
    store_block(sums, y, lane);
  }
  template <class Block>
  __device__ void finish(const Block&, unsigned) const {}
};

/// Backward-data: what is stored is dz, the gradient where ReLU let x pass: raw * scale + shift, or
/// y, made of that and a residual, above 0. A NaN passes, so that it is found where it arose. A row
/// of `partial` holds the sums of dz and of dz * (raw - mean).
template <class T>
struct NormGradient {
  static constexpr unsigned vectors = 0, row_values = 2;
  static constexpr int blocks(int outputs, int plain) { return outputs == 16 ? 2 : plain; }
  const T *raw, *y;  // as dz; y may be null
  const float *scale, *shift, *mean;
  bool relu;
  float* partial;

  template <class, class>
  __device__ void read(char*, const TileGrid&, TilePosition) const {}
  template <class, class Sums, class Block>
  __device__ void begin(const Sums&, const Block&, unsigned, Lane) const {}

  template <class, int groups, class Block>
  __device__ void end(const float (&sums)[kBlockRows][groups][4], const BlockTarget<T>& dz,
                      std::int64_t corner, const Block& block, unsigned turn, Lane lane) const {
    constexpr int W = groups * 2;
    const unsigned channel = turn * groups * 8 + lane.member * W;
    const Floats<W> slope = load_floats<W>(scale + channel), up = load_floats<W>(shift + channel);
    const Floats<W> center = load_floats<W>(mean + channel);
    float totals[2 * W] = {};
#pragma unroll
    for (int row = 0; row < kBlockRows; ++row) {
      // Before the first of them is stored: the compiler cannot know that these are others.
      Pack<T, W> xs[2];
      each_pixel<W>(row, dz, lane,
                    [&](int half, int offset) { xs[half] = load_pack<W>(raw + corner + offset); });
      each_pixel<W>(row, dz, lane, [&](int half, int offset) {
        Floats<W> values = pixel_of(sums, row, half), gate;
        if (dz.added) {
          const Floats<W> old = load_floats<W>(dz.added + offset);
#pragma unroll
          for (int k = 0; k < W; ++k) values[k] += old[k];
        }
        values = rounded<T>(values);
        if (y) gate = load_floats<W>(y + corner + offset);
#pragma unroll
        for (int k = 0; k < W; ++k) {
          const float x = to_float(xs[half][k]);
          if (!y) gate[k] = x * slope[k] + up[k];
          if (relu && gate[k] <= 0) values[k] = 0;
          totals[k] += values[k];
          totals[W + k] += values[k] * (x - center[k]);
        }
        store_floats<W>(dz.data + offset, values);
      });
    }
    block.add(turn, totals, lane);
  }

  template <class Block>
  __device__ void finish(const Block& block, unsigned) const {
    const unsigned channels = Block::channels, c = threadIdx.x;
    if (c >= channels) return;
    float* const row = partial + std::int64_t{blockIdx.x} * row_values * channels + c;
    row[0] = block.total(c, 0);
    row[channels] = block.total(c, 1);
  }
};

}  // namespace fjord::cuda
