// cuDNN's backend descriptors: owned, typed, and failing with cuDNN's own words.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fjord::cuda {

/// Throws Error{device, "cudnn"} with cuDNN's message when a call failed.
void check_cudnn(cudnnStatus_t status, std::string_view what);

/// A descriptor with its lifetime; null after a move and when made by default.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  Descriptor(Descriptor&& other) noexcept : raw_(other.raw_) { other.raw_ = nullptr; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  cudnnBackendDescriptor_t raw() const { return raw_; }

  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<cudnnBackendDescriptor_t>&);
  Descriptor& set(cudnnBackendAttributeName_t name, std::int64_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  // Not overloads of set: cuDNN's descriptors are void pointers as well.
  Descriptor& set_address(cudnnBackendAttributeName_t name, void* address);
  Descriptor& set_addresses(cudnnBackendAttributeName_t name, const std::vector<void*>& addresses);
  Descriptor& set(cudnnBackendAttributeName_t name, float value);
  Descriptor& set(cudnnBackendAttributeName_t name, bool value);
  Descriptor& set(cudnnBackendAttributeName_t name, const std::string& text);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnConvolutionMode_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnPointwiseMode_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnNanPropagation_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnReduceTensorOp_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value);
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendKnobType_t value);

  /// The status instead of an exception: a refusal is an answer where candidates are tried.
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(raw_); }
  Descriptor& finalize(std::string_view what);

  std::int64_t integer(cudnnBackendAttributeName_t name) const;
  cudnnBackendKnobType_t knob_type(cudnnBackendAttributeName_t name) const;
  std::string text(cudnnBackendAttributeName_t name) const;
  std::vector<cudnnBackendNumericalNote_t> numerical_notes() const;  // of an engine
  std::vector<cudnnBackendBehaviorNote_t> behavior_notes() const;
  /// At most `most`, or as many as cuDNN announces (it does not for knobs).
  std::vector<Descriptor> descriptors(cudnnBackendAttributeName_t name,
                                      cudnnBackendDescriptorType_t type,
                                      std::size_t most = 0) const;

 private:
  Descriptor& put(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  std::size_t count, const void* values);
  std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                   std::size_t count, void* values) const;

  cudnnBackendDescriptor_t raw_ = nullptr;
};

}  // namespace fjord::cuda
