// Small kernels, most of them wrong on purpose, by which the emulation itself is tested.
#pragma once

#include "tests/cuda/emulation/runtime.h"

namespace fjord::selftest {

/// What is wrong with a kernel.
enum class Fault : std::uint8_t {
  none,
  no_barrier,
  divergent_barrier,
  left_before_barrier,
  shared_overrun,
  shared_unwritten,
  global_overrun,
  between_blocks,
  absent_lane,
  no_warp_barrier,
  misaligned,
};

/// Where an asynchronous copy is waited for.
enum class Wait : std::uint8_t { before_barrier, after_barrier, never };

/// y[block] = the sum of 64 values of x a block, by shared memory; one block of 64 threads each.
void block_sums(const float* x, float* y, int blocks, Fault fault, cudaStream_t stream);
/// y[i] = the sum over the warp of x, by shuffles and by shared memory.
void warp_sums(const float* x, float* y, int warps, Fault fault, cudaStream_t stream);
/// d (16 x 8) = a (16 x 16) * b (16 x 8), bf16, through ldmatrix and mma.
void tile_product(const std::uint16_t* a, const std::uint16_t* b, float* d, cudaStream_t stream);
/// y = x, 16 bytes a thread; each stores what its neighbour has brought into shared memory.
void async_copy(const float* x, float* y, int count, Wait wait, cudaStream_t stream);
/// y[i] = x[i * stride], 16 bytes a thread.
void strided_copy(const float* x, float* y, int count, int stride, cudaStream_t stream);
/// counts[x[i]] += 1 by integer atomics.
void histogram(const int* x, unsigned* counts, int count, cudaStream_t stream);
/// y += 1.
void increment(float* y, int count, cudaStream_t stream);
/// One thread leaves a mark of AddressSanitizer's 16 KB deep in its stack. False where there is
/// none to leave: nothing runs.
bool leave_mark(cudaStream_t stream);
/// Shared memory read with a stride of `stride` floats by each warp.
void shared_stride(float* y, int stride, cudaStream_t stream);

}  // namespace fjord::selftest
