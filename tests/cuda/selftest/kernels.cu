// The kernels of the emulation's own tests. Built for the emulation only.
#include "tests/cuda/selftest/kernels.h"

#include <cuda_runtime.h>

#include "kernels/cuda/ptx.h"

extern "C" [[gnu::weak]] void __asan_poison_memory_region(const volatile void* address,
                                                          std::size_t size);

namespace fjord::selftest {

namespace {

struct alignas(16) Four {
  float values[4];
};

template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), int blocks, int threads, std::size_t shared_bytes,
            cudaStream_t stream, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...);
}

__global__ void block_sums_kernel(const float* x, float* y, Fault fault) {
  float* shared = dynamic_shared<float>();
  const unsigned i = threadIdx.x;
  if (fault == Fault::left_before_barrier && i == 63) return;
  if (!(fault == Fault::shared_unwritten && i == 5)) shared[i] = x[blockIdx.x * 64 + i];
  for (unsigned half = 32; half > 0; half /= 2) {
    if (fault == Fault::divergent_barrier && half == 8 && i >= 32) break;
    if (fault != Fault::no_barrier) __syncthreads();
    if (i < half) shared[i] += shared[i + half];
  }
  if (fault == Fault::shared_overrun && i == 0) shared[64] = 1;
  if (i != 0) return;
  y[fault == Fault::between_blocks ? 0 : blockIdx.x] = shared[0];
  if (fault == Fault::global_overrun) y[gridDim.x + 8 * blockIdx.x] = 1;
}

__global__ void warp_sums_kernel(const float* x, float* y, Fault fault) {
  const unsigned lane = threadIdx.x;
  float sum = x[blockIdx.x * 32 + lane];
  const unsigned mask = fault == Fault::absent_lane ? 0x7FFFFFFFu : ~0u;
  if (fault == Fault::absent_lane && lane == 31) return;
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(mask, sum, bits);
  float* shared = dynamic_shared<float>();
  shared[lane] = sum;
  if (fault != Fault::no_warp_barrier) __syncwarp();
  y[blockIdx.x * 32 + lane] = shared[31 - lane];
}

__global__ void tile_product_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  // a row by row, then b row by row (16 x 8), which ldmatrix transposes.
  std::uint16_t* shared = dynamic_shared<std::uint16_t>();
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 256; i += 32) shared[i] = a[i];
  for (unsigned i = lane; i < 128; i += 32) shared[256 + i] = b[i];
  __syncwarp();
  std::uint32_t rows[4], columns[4];
  ldmatrix_x4(rows, shared + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_x4_trans(columns, shared + 256 + lane % 16 * 8);
  const std::uint32_t first_two[2] = {columns[0], columns[1]};
  float sums[4] = {};
  mma16816(sums, rows, first_two, __nv_bfloat16{});
  for (unsigned i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

__global__ void async_copy_kernel(const float* x, float* y, int count, Wait wait) {
  Four* shared = dynamic_shared<Four>();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i * 4 < count) cp_async16(shared + threadIdx.x, x + i * 4);
  cp_async_commit();
  if (wait == Wait::before_barrier) cp_async_wait<0>();
  __syncthreads();
  if (wait == Wait::after_barrier) cp_async_wait<0>();
  const int other = i ^ 1;
  if (other * 4 < count) reinterpret_cast<Four*>(y)[other] = shared[threadIdx.x ^ 1];
}

__global__ void strided_copy_kernel(const float* x, float* y, int count, int stride) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) reinterpret_cast<Four*>(y)[i] = reinterpret_cast<const Four*>(x)[i * stride];
}

__global__ void histogram_kernel(const int* x, unsigned* counts, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) atomicAdd(counts + x[i], 1u);
}

__global__ void increment_kernel(float* y, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] += 1;
}

__global__ void shared_stride_kernel(float* y, int stride) {
  float* shared = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x);
  shared[lane * stride] = static_cast<float>(lane);
  __syncwarp();
  y[lane] = shared[(lane ^ 1) * stride];
}

__global__ void leave_mark_kernel() {
  if (threadIdx.x == 5)
    __asan_poison_memory_region(static_cast<char*>(__builtin_frame_address(0)) - 16384, 8);
}

}  // namespace

void block_sums(const float* x, float* y, int blocks, Fault fault, cudaStream_t stream) {
  launch(block_sums_kernel, blocks, 64, 256, stream, x, y, fault);
}

void warp_sums(const float* x, float* y, int warps, Fault fault, cudaStream_t stream) {
  launch(warp_sums_kernel, warps, 32, 128, stream, x, y, fault);
}

void tile_product(const std::uint16_t* a, const std::uint16_t* b, float* d, cudaStream_t stream) {
  launch(tile_product_kernel, 1, 32, 768, stream, a, b, d);
}

void async_copy(const float* x, float* y, int count, Wait wait, cudaStream_t stream) {
  launch(async_copy_kernel, (count / 4 + 31) / 32, 32, 512, stream, x, y, count, wait);
}

void strided_copy(const float* x, float* y, int count, int stride, cudaStream_t stream) {
  launch(strided_copy_kernel, (count + 63) / 64, 64, 0, stream, x, y, count, stride);
}

void histogram(const int* x, unsigned* counts, int count, cudaStream_t stream) {
  launch(histogram_kernel, (count + 63) / 64, 64, 0, stream, x, counts, count);
}

void increment(float* y, int count, cudaStream_t stream) {
  launch(increment_kernel, (count + 63) / 64, 64, 0, stream, y, count);
}

void shared_stride(float* y, int stride, cudaStream_t stream) {
  launch(shared_stride_kernel, 1, 32, static_cast<std::size_t>(32 * stride) * 4, stream, y, stride);
}

bool leave_mark(cudaStream_t stream) {
  if (!__asan_poison_memory_region) return false;
  launch(leave_mark_kernel, 1, 64, 0, stream);
  return true;
}

}  // namespace fjord::selftest
