// The described card, versions and errors.
#include <cstring>

#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/streams.h"

namespace emulation {

namespace {

cudaError_t driver_status = cudaSuccess, last_error = cudaSuccess;

}  // namespace

Card& card() {
  static Card card;
  return card;
}

Calls& calls() {
  static Calls calls;
  return calls;
}

void set_driver_status(cudaError_t status) { driver_status = status; }

cudaError_t fail(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

std::recursive_mutex& runtime_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

cudaError_t outcome() {
  if (card().lost != cudaSuccess) return fail(card().lost);
  return has_untold_findings() ? fail(cudaErrorLaunchFailure) : cudaSuccess;
}

}  // namespace emulation

using namespace emulation;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = driver_status == cudaSuccess ? 1 : 0;
  return fail(driver_status);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return fail(driver_status);
}

cudaError_t cudaSetDevice(int device) {
  return fail(device == 0 ? driver_status : cudaErrorInvalidDevice);
}

cudaError_t cudaSetDeviceFlags(unsigned) { return fail(driver_status); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return fail(cudaErrorInvalidDevice);
  *properties = {};
  std::strncpy(properties->name, card().name.c_str(), sizeof properties->name - 1);
  properties->major = card().major;
  properties->minor = card().minor;
  properties->multiProcessorCount = card().multiprocessors;
  properties->maxThreadsPerBlock = 1024;
  properties->warpSize = 32;
  properties->l2CacheSize = 50 << 20;
  properties->totalGlobalMem = card().memory_bytes;
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = card().shared_optin_bytes;
  return fail(driver_status);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, device);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
  }
  return status;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = card().memory_bytes;
  *free = *total - memory::bytes_in_use();
  return fail(driver_status);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver_status == cudaSuccess ? 13000 : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaPeekAtLastError() { return last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    default:
      return "another cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error != cudaErrorLaunchFailure) return cudaGetErrorName(error);
  static std::string text;
  text = untold_findings();
  return text.c_str();
}
