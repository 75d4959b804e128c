// Allocation, copies and fills.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/streams.h"

using namespace emulation;

namespace {

using Guard = std::lock_guard<std::recursive_mutex>;

std::map<const char*, std::size_t> pinned;

bool is_pinned(const void* address) {
  auto found = pinned.upper_bound(static_cast<const char*>(address));
  if (found == pinned.begin()) return false;
  --found;
  return static_cast<const char*>(address) < found->first + found->second;
}

// Whether an end of a copy lies where its kind says.
bool fits(const void* address, std::size_t bytes, bool on_device) {
  if (on_device) return memory::holds(address, bytes);
  return !memory::in_range(address);
}

bool fits(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault)
    return fits(to, bytes, memory::in_range(to)) && fits(from, bytes, memory::in_range(from));
  return fits(to, bytes, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) &&
         fits(from, bytes, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

}  // namespace

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
  const Guard guard(runtime_mutex());
  *address = nullptr;
  if (capture_forbids_unsafe_calls()) return fail(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  ++calls().allocations;
  *address = memory::allocate(bytes);
  return fail(*address ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* address) {
  const Guard guard(runtime_mutex());
  if (!address) return cudaSuccess;
  if (capture_forbids_unsafe_calls()) return fail(cudaErrorStreamCaptureUnsupported);
  ++calls().waits;
  run_all();  // as the real one waits for the device
  return fail(memory::release(address) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  const Guard guard(runtime_mutex());
  ++calls().allocations;
  *address = std::malloc(bytes);
  if (!*address) return fail(cudaErrorMemoryAllocation);
  std::memset(*address, 0xFF, bytes);
  pinned[static_cast<const char*>(*address)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** address, std::size_t bytes) {
  return cudaHostAlloc(address, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* address) {
  const Guard guard(runtime_mutex());
  if (!address) return cudaSuccess;
  ++calls().waits;
  run_all();
  if (pinned.erase(static_cast<const char*>(address)) == 0) return fail(cudaErrorInvalidValue);
  std::free(address);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Guard guard(runtime_mutex());
  if (bytes == 0) return cudaSuccess;
  if (!fits(to, from, bytes, kind)) {
    find("a copy of " + std::to_string(bytes) + " bytes whose ends are not where its kind says");
    return fail(cudaErrorInvalidValue);
  }
  const auto pageable = [](const void* end) { return !memory::in_range(end) && !is_pinned(end); };
  const bool staged = pageable(from) && !state_of(stream).capture;
  calls().waits += staged || pageable(to);
  if (!staged) return submit(stream, "copy", [=] { std::memcpy(to, from, bytes); });
  // The runtime takes pageable memory before it returns.
  const auto* begin = static_cast<const std::byte*>(from);
  const auto taken = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
  return submit(stream, "copy", [=] { std::memcpy(to, taken->data(), bytes); });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Guard guard(runtime_mutex());
  const cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return status == cudaSuccess ? cudaStreamSynchronize(nullptr) : status;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const Guard guard(runtime_mutex());
  if (bytes == 0) return cudaSuccess;
  if (!memory::holds(to, bytes)) return fail(cudaErrorInvalidValue);
  return submit(stream, "fill", [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
