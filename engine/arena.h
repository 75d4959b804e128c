// One block of memory, page-aligned, zeroed, committed by the operating system when first touched.
#pragma once

#include <cstddef>

namespace fjord {

/// Shared by the plans of one model (training, evaluation): they never run at once, so it is as
/// large as the largest of them.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// Grows to at least `bytes`; what was in it is lost and its address changes. Throws
  /// Error{io, "memory"} when the system has not that much, and stays as it was.
  void reserve(std::size_t bytes);
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace fjord
