// A launch: its configuration checked as the runtime does, its blocks run in a random order.
#include "tests/cuda/emulation/launch.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/streams.h"
#include "tests/cuda/emulation/watch.h"

namespace emulation {

namespace {

constexpr std::size_t kSharedWithoutAsking = 48 * 1024;

std::map<const void*, std::size_t> shared_limits;
// Never destroyed: it is read while a program ends.
auto& launched = *new std::map<std::string, std::int64_t>;
std::string running_kernel;

std::size_t shared_limit(const void* kernel) {
  const auto found = shared_limits.find(kernel);
  return found == shared_limits.end() ? kSharedWithoutAsking : found->second;
}

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const bool blocks = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFF &&
                      grid.y <= 0xFFFF && grid.z <= 0xFFFF;
  if (!blocks || threads == 0 || threads > kMostThreads || block.z > 64)
    return cudaErrorInvalidConfiguration;
  return config.dynamicSmemBytes > shared_limit(kernel) ? cudaErrorInvalidValue : cudaSuccess;
}

std::vector<std::uint32_t> random_order(std::size_t count) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = count; i > 1; --i)
    std::swap(order[i - 1], order[random_below(static_cast<std::uint32_t>(i))]);
  return order;
}

void run(const cudaLaunchConfig_t& config, const std::string& name,
         const std::function<void()>& call) {
  running_kernel = name;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  memory::set_shared_bytes(config.dynamicSmemBytes);
  watch::begin_launch(name, gridDim, blockDim, config.dynamicSmemBytes);
  const std::size_t blocks = std::size_t{gridDim.x} * gridDim.y * gridDim.z;
  for (const std::uint32_t i : random_order(blocks)) {
    blockIdx = {i % gridDim.x, i / gridDim.x % gridDim.y, i / (gridDim.x * gridDim.y)};
    std::memset(memory::shared(), 0xFF, config.dynamicSmemBytes);
    watch::begin_block();
    const bool finished = block().run(blockDim, call);
    watch::end_block();
    if (!finished) break;
  }
  watch::end_launch();
}

}  // namespace

std::string launch_name() {
  return "kernel " + running_kernel + ", block (" + std::to_string(blockIdx.x) + ", " +
         std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> call) {
  if (const cudaError_t status = check(config, kernel); status != cudaSuccess) return fail(status);
  const std::string name = function_name(kernel);
  ++launched[name];
  calls().launches += !state_of(config.stream).capture;
  return submit(config.stream, name, [=, call = std::move(call)] { run(config, name, call); });
}

const std::map<std::string, std::int64_t>& launched_kernels() { return launched; }

}  // namespace emulation

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  return emulation::fail(emulation::card().code);
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  using namespace emulation;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) > card().shared_optin_bytes)
    return fail(cudaErrorInvalidValue);
  shared_limits[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
