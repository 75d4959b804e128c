// Which device a backend has, replay, blocks.
#include "kernels/device.h"

#include <utility>

#include "kernels/cpu/device.h"

namespace fjord {

namespace {

Device* cuda_device_in_use = nullptr;

}  // namespace

Device& device(Backend backend) {
  if (backend != Backend::cuda) return cpu_device();
  if (!cuda_device_in_use)
    throw Error(ExitCode::device, "device-build", "the CUDA backend", "is not loaded",
                "use --device cpu");
  return *cuda_device_in_use;
}

void enable_device(Backend backend, Device& device) {
  invariant(backend == Backend::cuda, "enable_device", "the host's device is fixed");
  cuda_device_in_use = &device;
}

Stream stream(Backend backend) {
  Stream stream = device(backend).stream();
  stream.backend = backend;  // the reference backend shares the host's device
  return stream;
}

void Replay::run(Stream& stream, const std::function<void()>& work) {
  if (recording_) return recording_->launch(stream);
  if (!std::exchange(ran_, true)) return work();
  recording_ = device(stream.backend).record(stream, work);
  if (recording_)
    recording_->launch(stream);
  else
    work();
}

void Replay::reset() {
  recording_.reset();
  ran_ = false;
}

DeviceBlock::DeviceBlock(Backend backend, std::size_t bytes)
    : backend_(backend),
      data_(static_cast<std::byte*>(device(backend).allocate(bytes))),
      bytes_(bytes) {}

DeviceBlock& DeviceBlock::operator=(DeviceBlock&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceBlock::~DeviceBlock() {
  if (data_) device(backend_).release(data_, bytes_);
}

}  // namespace fjord
