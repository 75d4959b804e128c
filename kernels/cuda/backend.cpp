// Fills the CUDA slots and keeps one workspace a stream.
#include "kernels/cuda/backend.h"

#include <map>
#include <mutex>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace fjord {

void throw_cuda(cudaError_t status, const char* what) {
  throw Error(ExitCode::device, "cuda", fmt::format("CUDA: {}", what),
              fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status)),
              "use --device cpu");
}

void throw_types(const char* slot) {
  throw Error(ExitCode::bug, "type", slot, "it has no CUDA form for tensors of these types",
              "use --device cpu");
}

namespace cuda {

float* workspace(const Stream& stream, std::size_t bytes) {
  static std::mutex mutex;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& buffers = *new std::map<void*, std::byte*>;
  if (bytes > kWorkspaceBytes)
    throw Error(ExitCode::bug, "workspace", fmt::format("{} bytes of workspace", bytes),
                fmt::format("a kernel may ask for {}", kWorkspaceBytes), "use --device cpu");
  const std::lock_guard lock(mutex);
  std::byte*& buffer = buffers[stream.native];
  if (!buffer) {
    void* memory = nullptr;
    check_cuda(cudaMalloc(&memory, kWorkspaceBytes), "allocation of a stream's workspace");
    buffer = static_cast<std::byte*>(memory);
  }
  // The end of the buffer, so that an access beyond it leaves the allocation, which tools see.
  return reinterpret_cast<float*>(buffer + kWorkspaceBytes - (bytes + 31) / 32 * 32);
}

}  // namespace cuda

void enable_cuda_kernels() {
  cuda::require_code_for_card();
  // Now, since nothing may be allocated while a stream records.
  cuda::workspace(cuda_device().stream(), 0);
  cuda::workspace(cuda_device().side_stream(), 0);
  cuda::fill_norm();
  cuda::fill_norm_backward();
  cuda::fill_activation();
  cuda::fill_gate();
  cuda::fill_matrix();
  cuda::fill_resample();
  cuda::fill_pointwise();
  cuda::fill_spatial();
  cuda::fill_stem();
  cuda::fill_loss();
  cuda::fill_lovasz();
  cuda::fill_formula_loss();
  cuda::fill_confusion();
  cuda::fill_augment();
  cuda::fill_optimizer();
  cuda::fill_conv();
}

}  // namespace fjord
