// The card that plans are made for: the one present, or one described in JSON (no card needed).
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/cudnn_descriptor.h"
#include "kernels/kernel.h"

namespace fjord::cuda {

class CudnnDevice {
 public:
  /// The card of this process.
  static std::shared_ptr<const CudnnDevice> present();
  /// A card that is not here, by cuDNN's own JSON (see tests/cuda/plans/*.json): plans can be
  /// chosen for it and their workspaces known; they cannot run.
  static std::shared_ptr<const CudnnDevice> described(const std::string& json);
  /// The card of this process or, where there is none, a described H200.
  static std::shared_ptr<const CudnnDevice> current();
  /// Makes another device the current one.
  static void set_current(std::shared_ptr<const CudnnDevice> device);

  ~CudnnDevice();
  CudnnDevice(const CudnnDevice&) = delete;

  const Descriptor& properties() const { return properties_; }
  /// Makes an execution plan one for this device.
  void bind(Descriptor& plan) const;
  bool runs() const { return handle_ != nullptr; }
  /// The handle, set to the stream. Throws on a described device.
  cudnnHandle_t handle(Stream& stream) const;
  /// "cuDNN 91900, NVIDIA H200, 132 SMs": what measured choices depend on.
  const std::string& name() const { return name_; }

 private:
  CudnnDevice() = default;

  Descriptor properties_;
  cudnnHandle_t handle_ = nullptr;
  std::string name_;
};

}  // namespace fjord::cuda
