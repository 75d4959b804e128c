// What CPU kernels need beside kernels/parallel.h: pieces by whoever is free, and partial sums.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/parallel.h"

namespace fjord {

/// body(i, worker) for i in [0, count) on at most `workers` threads, whoever is free next: for
/// pieces of unequal work that write apart from each other. Throws as parallel_for does.
template <class Body>
void parallel_pieces(std::int64_t count, int workers, const Body& body) {
  const int team = static_cast<int>(std::min<std::int64_t>(count, workers));
  Thrown thrown;
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
  for (std::int64_t i = 0; i < count; ++i)
    thrown.guard([&] { body(static_cast<std::size_t>(i), omp_get_thread_num()); });
  thrown.rethrow();
}

/// Zeroed doubles for partial sums, kept by the calling thread from step to step.
inline double* partial_sums(std::int64_t count) {
  thread_local std::vector<double> sums;
  sums.assign(static_cast<std::size_t>(count), 0.0);
  return sums.data();
}

}  // namespace fjord
