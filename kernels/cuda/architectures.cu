// Whether this library holds code for the card: asked once, before the first kernel would fail.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace fjord::cuda {

namespace {

// Compiled for what every other kernel is compiled for.
__global__ void code_probe() {}

// The compiler's own list: 800 for sm_80.
constexpr int kCompiledFor[] = {__CUDA_ARCH_LIST__};

std::string compiled_for() {
  std::string text;
  for (const int architecture : kCompiledFor)
    text += fmt::format("{}sm_{}", text.empty() ? "" : ", ", architecture / 10);
  return text;
}

int capability_of_card() {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0),
             "asking for the card's properties");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0),
             "asking for the card's properties");
  return 10 * major + minor;
}

bool means_no_code(cudaError_t status) {
  return status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
         status == cudaErrorInvalidPtx || status == cudaErrorUnsupportedPtxVersion;
}

}  // namespace

void require_code_for_card() {
  Stream stream = cuda_device().stream();
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, code_probe);
  if (!means_no_code(status)) {
    check_cuda(status, "asking for a kernel");
    return launch(code_probe, 1, 1, 0, stream);
  }
  cudaGetLastError();  // else the next call would report it again
  const int capability = capability_of_card();
  throw Error(
      ExitCode::device, "device-code", fmt::format("{} (sm_{})", cuda_device().name(), capability),
      fmt::format("this build holds code for {}, and none that this card can run", compiled_for()),
      fmt::format("build with cmake -DFJORD_CUDA_ARCHITECTURES={}, or use --device cpu",
                  capability));
}

}  // namespace fjord::cuda
