// The one door through which kernels are launched, and the check of every CUDA call.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/kernel.h"

namespace fjord {

[[noreturn]] void throw_cuda(cudaError_t status, const char* what);
/// Error{bug}: a slot got tensors of types that it has no kernel for.
[[noreturn]] void throw_types(const char* slot);

/// Throws Error{device, "cuda"} saying what failed and CUDA's reason.
inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw_cuda(status, what);
}

inline cudaStream_t native(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.native);
}

/// More dynamic shared memory than this has to be asked for, kernel by kernel.
constexpr std::size_t kSharedWithoutAsking = 48 * 1024;

/// Queues kernel(args...) on the stream; the arguments are converted to the kernel's own types.
template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            const Stream& stream, Args... args) {
  static_assert(sizeof...(Parameters) == sizeof...(Args));
  if (shared_bytes > kSharedWithoutAsking)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "shared memory of a kernel");
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = native(stream);
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...),
             "launch of a kernel");
}

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Threads of a block where nothing speaks for another number.
constexpr int kThreads = 256;

/// Blocks of kThreads for a grid-stride loop over `count` items: eight blocks on each of 128
/// multiprocessors at most. A number of the shape alone, never of the card, so that no result can
/// depend on it.
inline unsigned blocks_for(std::int64_t count) {
  constexpr std::int64_t most = 1024;
  const std::int64_t blocks = divide_up(count, kThreads);
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

}  // namespace fjord
