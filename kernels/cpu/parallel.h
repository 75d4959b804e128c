// How CPU kernels split their work: chunks fixed by shape, so that no result depends on the number
// of threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

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

/// body(i) for i in [0, count), shared out over the threads.
template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
#pragma omp parallel for schedule(static) if (count > 1)
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

/// body(i, worker) for i in [0, count) on at most `workers` threads, whoever is free next: for
/// pieces of unequal work that write apart from each other.
template <class Body>
void parallel_pieces(std::int64_t count, int workers, const Body& body) {
  const int team = static_cast<int>(std::min<std::int64_t>(count, workers));
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
  for (std::int64_t i = 0; i < count; ++i) body(static_cast<std::size_t>(i), omp_get_thread_num());
}

/// Zeroed doubles for partial sums, kept by the calling thread from step to step.
inline double* partial_sums(std::int64_t count) {
  thread_local std::vector<double> sums;
  sums.assign(static_cast<std::size_t>(count), 0.0);
  return sums.data();
}

}  // namespace fjord
