// The card that plans are made for: the one present, or one described in JSON (no card needed).
#include "kernels/cuda/cudnn_device.h"

#include <nlohmann/json.hpp>

#include "kernels/cuda/launch.h"

namespace fjord::cuda {

namespace {

constexpr const char* kH200 =
    R"({"deviceName": "NVIDIA H200", "cudaDeviceId": 0, "deviceVer": 900, "multiProcessorCount": 132,
"driverVer": 13000, "maxSharedMemoryPerBlockOptin": 232448, "totalGlobalMem": 150754820096,
"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536,
"warpSize": 32, "maxSharedMemoryPerBlock": 49152, "reservedSharedMemoryPerBlock": 1024,
"maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
"maxThreadsPerSM": 2048, "pciDeviceId": 9013, "isTccDriver": 0, "supportCoopLaunch": 1,
"smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "l2CacheSize": 62914560})";

std::string name_of(const std::string& card, std::int64_t processors) {
  return fmt::format("cuDNN {}, {}, {} SMs", cudnnGetVersion(), printable(card), processors);
}

std::shared_ptr<const CudnnDevice>& current_slot() {
  // Never destroyed: at exit the driver may be gone before it.
  static auto& device = *new std::shared_ptr<const CudnnDevice>;
  return device;
}

bool card_present() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

}  // namespace

std::shared_ptr<const CudnnDevice> CudnnDevice::present() {
  std::shared_ptr<CudnnDevice> device(new CudnnDevice);
  int index = 0;
  cudaDeviceProp card{};
  const cudaError_t status = cudaGetDevice(&index);
  if (status != cudaSuccess || cudaGetDeviceProperties(&card, index) != cudaSuccess)
    throw Error(ExitCode::device, "no-card", "cuDNN", "no card answers", "use --device cpu");
  device->name_ = name_of(card.name, card.multiProcessorCount);
  check_cudnn(cudnnCreate(&device->handle_), "cuDNN handle");
  device->properties_ = Descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device->properties_.set(CUDNN_ATTR_DEVICEPROP_HANDLE, device->handle_);
  device->properties_.finalize("cuDNN device");
  return device;
}

std::shared_ptr<const CudnnDevice> CudnnDevice::described(const std::string& json) {
  std::shared_ptr<CudnnDevice> device(new CudnnDevice);
  const auto card = nlohmann::json::parse(json, nullptr, false);
  if (card.is_discarded() || !card.is_object() ||
      !card.value("deviceName", nlohmann::json()).is_string() ||
      !card.value("multiProcessorCount", nlohmann::json()).is_number_integer())
    throw Error(ExitCode::device, "device-description", "cuDNN device",
                "its description is not JSON with deviceName and multiProcessorCount",
                "compare with tests/cuda/plans/h200.json");
  device->name_ = name_of(card["deviceName"], card["multiProcessorCount"].get<std::int64_t>());
  device->properties_ = Descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device->properties_.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json);
  device->properties_.finalize("described cuDNN device");
  return device;
}

std::shared_ptr<const CudnnDevice> CudnnDevice::current() {
  auto& device = current_slot();
  if (!device) device = card_present() ? present() : described(kH200);
  return device;
}

void CudnnDevice::set_current(std::shared_ptr<const CudnnDevice> device) {
  current_slot() = std::move(device);
}

CudnnDevice::~CudnnDevice() {
  if (handle_) cudnnDestroy(handle_);
}

void CudnnDevice::bind(Descriptor& plan) const {
  if (handle_)
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties_);
}

cudnnHandle_t CudnnDevice::handle(Stream& stream) const {
  if (!handle_)
    throw Error(ExitCode::device, "no-card", name_, "this card is described, not present",
                "use --device cpu");
  check_cudnn(cudnnSetStream(handle_, native(stream)), "cuDNN stream");
  return handle_;
}

}  // namespace fjord::cuda
