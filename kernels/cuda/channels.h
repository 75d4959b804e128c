// How kernels share out a tensor by its channels: value by value, each thread staying with its
// channels; and sums over all pixels, in two stages and without atomics.
#pragma once

#include <algorithm>
#include <numeric>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

/// A loop over `count` groups of neighbouring channels, in which a thread meets one group alone, so
/// that it can keep the factors of its channels.
struct FixedChannels {
  std::int64_t count = 0;
  unsigned groups = 1, blocks = 1;

  __device__ std::int64_t first() const { return blockIdx.x * kThreads + threadIdx.x; }
  __device__ std::int64_t stride() const { return std::int64_t{gridDim.x} * kThreads; }
  __device__ int group() const {
    return static_cast<int>((blockIdx.x * kThreads + threadIdx.x) % groups);
  }
};

/// For groups of `width` channels: the stride is a multiple of a pixel's groups.
inline FixedChannels fixed_channels(Shape shape, int width) {
  FixedChannels channels;
  channels.count = shape.count() / width;
  channels.groups = static_cast<unsigned>(shape.c / width);
  const unsigned unit = channels.groups / std::gcd(channels.groups, unsigned{kThreads});
  channels.blocks = (blocks_for(channels.count) + unit - 1) / unit * unit;
  return channels;
}

/// How blocks share a tensor of `pixels` x (groups * W) values: each takes `per_block` pixels of
/// `lanes` groups, `rows` pixels at a time. Threads beyond rows * lanes only wait.
struct ChannelBlocks {
  std::int64_t pixels = 0, per_block = 0;
  int groups = 0, lanes = 0, rows = 0;

  unsigned along_pixels() const { return static_cast<unsigned>(divide_up(pixels, per_block)); }
  unsigned along_channels() const { return static_cast<unsigned>(divide_up(groups, lanes)); }
  dim3 grid() const { return {along_pixels(), along_channels()}; }

  __device__ int lane() const { return static_cast<int>(threadIdx.x) % lanes; }
  __device__ int row() const { return static_cast<int>(threadIdx.x) / lanes; }
  __device__ int group() const { return static_cast<int>(blockIdx.y) * lanes + lane(); }
  __device__ bool active() const { return row() < rows && group() < groups; }
  __device__ std::int64_t begin() const { return blockIdx.x * per_block; }
  __device__ std::int64_t end() const { return min(begin() + per_block, pixels); }
};

/// The first stage's rows hold at most so many floats a channel.
constexpr int kMostRowValues = 3;

/// Blocks read 128 bytes of neighbouring channels at least 8 times, so that their rows of partial
/// sums are small beside what they sum up: of two floats a channel 1/128 in f32, 1/64 in 16 bits.
template <class T, int W>
ChannelBlocks channel_blocks(Shape shape) {
  constexpr int least_turns = 8, most_blocks = 1024;
  constexpr int line = 128 / (W * static_cast<int>(sizeof(T)));
  ChannelBlocks blocks;
  blocks.pixels = shape.pixels();
  blocks.groups = static_cast<int>(shape.c) / W;
  blocks.lanes = std::min(blocks.groups, line);
  blocks.rows = kThreads / blocks.lanes;
  const std::int64_t chunks = blocks.along_channels();
  const std::int64_t row_bytes =
      kMostRowValues * shape.c * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t most = std::max<std::int64_t>(
      1, std::min<std::int64_t>(most_blocks / chunks,
                                static_cast<std::int64_t>(kWorkspaceBytes) / row_bytes));
  const std::int64_t turns =
      std::max<std::int64_t>(least_turns, divide_up(blocks.pixels, most * blocks.rows));
  blocks.per_block = turns * blocks.rows;
  return blocks;
}

/// The first stage leaves one row a block along the pixels: `values` floats a channel.
inline float* partial_rows(const ChannelBlocks& blocks, std::int64_t channels, int values,
                           const Stream& stream) {
  const std::int64_t count = blocks.along_pixels() * channels * values;
  return workspace(stream, static_cast<std::size_t>(count) * sizeof(float));
}

/// Adds up the N values of the threads `lanes` apart (`rows` of them); those of row 0 get the sums.
/// `shared` holds N x blockDim values. All threads of the block take part.
template <class Value, int N>
__device__ void add_rows(Value (&values)[N], int lanes, int rows, Value* shared) {
  const int thread = static_cast<int>(threadIdx.x), row = thread / lanes;
  const int width = static_cast<int>(blockDim.x);
  // The upper half hands its values to the lower; a slot is written and read once.
  for (int left = rows; left > 1; left = (left + 1) / 2) {
    const int half = (left + 1) / 2;
    if (row >= half && row < left)
#pragma unroll
      for (int k = 0; k < N; ++k) shared[k * width + thread] = values[k];
    __syncthreads();
    if (row + half < left)
#pragma unroll
      for (int k = 0; k < N; ++k) values[k] += shared[k * width + thread + half * lanes];
  }
}

/// Bytes of shared memory for add_rows in a block of kThreads.
template <class Value, int N>
constexpr std::size_t add_rows_bytes = N* kThreads * sizeof(Value);

/// The second stage: kMergeLanes channels a block (one sector of memory), its rows shared out.
constexpr int kMergeLanes = 8;
inline unsigned merge_blocks(std::int64_t channels) {
  return static_cast<unsigned>(divide_up(channels, kMergeLanes));
}

}  // namespace fjord::cuda
