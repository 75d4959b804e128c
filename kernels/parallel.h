// How kernels of the host, and what prepares their tensors, split work: chunks fixed by shape, so
// that no result depends on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include "kernels/view.h"

namespace fjord {

/// Values of a chunk: 128 KiB of floats, so that a second pass over it finds it in the core's own
/// cache, and there is enough of them to share out.
constexpr std::int64_t kChunkValues = 32 * 1024;

/// [0, count) in pieces of `size`.
struct Chunks {
  std::int64_t count = 0, size = 1;

  std::int64_t pieces() const { return (count + size - 1) / size; }
  std::int64_t begin(std::int64_t piece) const { return piece * size; }
  std::int64_t length(std::int64_t piece) const { return std::min(size, count - piece * size); }
};

/// Chunks of whole pixels.
inline Chunks pixel_chunks(Shape shape) {
  return {shape.pixels(), std::max<std::int64_t>(8, kChunkValues / shape.c / 8 * 8)};
}

inline Chunks value_chunks(std::int64_t count) { return {count, kChunkValues}; }

/// What bodies threw on any thread, for the one that waits for them: an exception that left a
/// parallel region would end the process.
class Thrown {
 public:
  template <class Body>
  void guard(const Body& body) noexcept {
    try {
      body();
    } catch (...) {
      keep();
    }
  }
  /// The first of them in time, if there was one.
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  void keep() noexcept {
#pragma omp critical(fjord_thrown)
    if (!first_) first_ = std::current_exception();
  }
  std::exception_ptr first_;
};

/// body(i) for i in [0, count), shared out over the threads. What a body throws is thrown once all
/// others are through.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
  Thrown thrown;
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t i = 0; i < count; ++i) thrown.guard([&] { body(i); });
  thrown.rethrow();
}

}  // namespace fjord
