#include "kernels/threads.h"

#include <omp.h>

#include <algorithm>

namespace fjord {

// omp_get_num_procs counts the cores this process may use, so a container's or taskset's limit
// holds.
void set_threads(int count) { omp_set_num_threads(count > 0 ? count : omp_get_num_procs()); }

int threads() { return std::max(1, omp_get_max_threads()); }

}  // namespace fjord
