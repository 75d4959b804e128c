// One block of a device's memory: page-aligned and zeroed; on the host committed when first
// touched.
#pragma once

#include "kernels/device.h"

namespace fjord {

/// Shared by the plans of one model (training, evaluation): they never run at once, so it is as
/// large as the largest of them.
class Arena {
 public:
  explicit Arena(Backend backend = Backend::cpu) : backend_(backend) {}

  /// Grows to at least `bytes`; what was in it is lost and its address changes. Throws
  /// Error{io, "memory"} on the host, Error{device, "memory"} on another device, when there is not
  /// that much, and stays as it was where the host refused.
  void reserve(std::size_t bytes);
  std::byte* data() const { return block_.data(); }
  std::size_t bytes() const { return block_.bytes(); }
  Backend backend() const { return backend_; }

 private:
  Backend backend_;
  DeviceBlock block_;
};

}  // namespace fjord
