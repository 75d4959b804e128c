// cuDNN's backend descriptors: owned, typed, and failing with cuDNN's own words.
#include "kernels/cuda/cudnn_descriptor.h"

#include <array>
#include <utility>

#include "kernels/error.h"

namespace fjord::cuda {

void check_cudnn(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  throw Error(ExitCode::device, "cudnn", what,
              fmt::format("{}: {}", cudnnGetErrorString(status),
                          printable(std::string_view(message.data()))),
              "use --device cpu, or another version of cuDNN 9");
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check_cudnn(cudnnBackendCreateDescriptor(type, &raw_), "cuDNN descriptor");
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(raw_, other.raw_);
  return *this;
}

Descriptor::~Descriptor() {
  if (raw_) cudnnBackendDestroyDescriptor(raw_);
}

Descriptor& Descriptor::put(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            std::size_t count, const void* values) {
  const auto status =
      cudnnBackendSetAttribute(raw_, name, type, static_cast<std::int64_t>(count), values);
  if (status != CUDNN_STATUS_SUCCESS)
    check_cudnn(status, fmt::format("cuDNN attribute {}", static_cast<int>(name)));
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  return put(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name,
                            const std::vector<cudnnBackendDescriptor_t>& values) {
  return put(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, values.size(), values.data());
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  return put(name, CUDNN_TYPE_INT64, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name,
                            const std::vector<std::int64_t>& values) {
  return put(name, CUDNN_TYPE_INT64, values.size(), values.data());
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  return put(name, CUDNN_TYPE_HANDLE, 1, &value);
}
Descriptor& Descriptor::set_addresses(cudnnBackendAttributeName_t name,
                                      const std::vector<void*>& addresses) {
  return put(name, CUDNN_TYPE_VOID_PTR, addresses.size(), addresses.data());
}
Descriptor& Descriptor::set_address(cudnnBackendAttributeName_t name, void* address) {
  return put(name, CUDNN_TYPE_VOID_PTR, 1, &address);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, float value) {
  return put(name, CUDNN_TYPE_FLOAT, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, bool value) {
  return put(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::string& text) {
  return put(name, CUDNN_TYPE_CHAR, text.size(), text.data());
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return put(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnConvolutionMode_t value) {
  return put(name, CUDNN_TYPE_CONVOLUTION_MODE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnPointwiseMode_t value) {
  return put(name, CUDNN_TYPE_POINTWISE_MODE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnNanPropagation_t value) {
  return put(name, CUDNN_TYPE_NAN_PROPOGATION, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnReduceTensorOp_t value) {
  return put(name, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value) {
  return put(name, CUDNN_TYPE_HEUR_MODE, 1, &value);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendKnobType_t value) {
  return put(name, CUDNN_TYPE_KNOB_TYPE, 1, &value);
}

Descriptor& Descriptor::finalize(std::string_view what) {
  check_cudnn(try_finalize(), what);
  return *this;
}

std::int64_t Descriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                             std::size_t count, void* values) const {
  std::int64_t got = 0;
  const auto status =
      cudnnBackendGetAttribute(raw_, name, type, static_cast<std::int64_t>(count), &got, values);
  if (status != CUDNN_STATUS_SUCCESS)
    check_cudnn(status, fmt::format("cuDNN attribute {}", static_cast<int>(name)));
  return got;
}

std::int64_t Descriptor::integer(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0;
  get(name, CUDNN_TYPE_INT64, 1, &value);
  return value;
}

cudnnBackendKnobType_t Descriptor::knob_type(cudnnBackendAttributeName_t name) const {
  cudnnBackendKnobType_t value{};
  get(name, CUDNN_TYPE_KNOB_TYPE, 1, &value);
  return value;
}

std::string Descriptor::text(cudnnBackendAttributeName_t name) const {
  std::string value(static_cast<std::size_t>(get(name, CUDNN_TYPE_CHAR, 0, nullptr)), '\0');
  get(name, CUDNN_TYPE_CHAR, value.size(), value.data());
  while (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

std::vector<cudnnBackendNumericalNote_t> Descriptor::numerical_notes() const {
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  const std::int64_t count =
      get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), notes.data());
  notes.resize(static_cast<std::size_t>(count));
  return notes;
}

std::vector<cudnnBackendBehaviorNote_t> Descriptor::behavior_notes() const {
  std::vector<cudnnBackendBehaviorNote_t> notes(CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
  const std::int64_t count =
      get(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, notes.size(), notes.data());
  notes.resize(static_cast<std::size_t>(count));
  return notes;
}

std::vector<Descriptor> Descriptor::descriptors(cudnnBackendAttributeName_t name,
                                                cudnnBackendDescriptorType_t type,
                                                std::size_t most) const {
  if (most == 0)
    most = static_cast<std::size_t>(get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr));
  std::vector<Descriptor> owners;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < most; ++i) raw.push_back(owners.emplace_back(type).raw());
  // cuDNN fills fewer than it announced where it drops what the card cannot run.
  if (most > 0)
    owners.resize(
        static_cast<std::size_t>(get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data())));
  return owners;
}

}  // namespace fjord::cuda
