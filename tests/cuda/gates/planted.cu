// Kernels with the faults that the gates are there for; test_gates demands that each is found.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace fjord {

struct alignas(16) Four {
  float value[4];
};

// No fault: 16 bytes a thread.
template <class T>
__global__ void wide_copy(const Four* x, Four* y, long count) {
  const long i = blockIdx.x * 256L + threadIdx.x;
  if (i < count) y[i] = x[i];
}
template __global__ void wide_copy<__nv_bfloat16>(const Four*, Four*, long);

// An access narrower than promised.
__global__ void narrow_copy(const float* x, float* y, long count) {
  const long i = blockIdx.x * 256L + threadIdx.x;
  if (i < count) y[i] = x[i];
}

// An array indexed by data: local memory.
__global__ void local_array(const int* index, float* y, int count) {
  float kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = y[i];
  for (int i = 0; i < count; ++i) kept[index[i]] += 1;
  y[threadIdx.x] = kept[count];
}

// A sum that depends on the order of threads.
__global__ void racing_sum(const float* x, float* sum) { atomicAdd(sum, x[threadIdx.x]); }

// Shared memory that no one declared, and so much of it that few blocks fit.
__global__ void __launch_bounds__(256) crowded(const float* x, float* y) {
  __shared__ float kept[10240];
  for (int i = threadIdx.x; i < 10240; i += 256) kept[i] = x[i];
  __syncthreads();
  for (int i = threadIdx.x; i < 10240; i += 256) y[i] = kept[10239 - i];
}

}  // namespace fjord
