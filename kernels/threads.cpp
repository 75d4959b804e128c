// OpenMP's threads: how many, and how they wait.
#include "kernels/threads.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace fjord {

// omp_get_num_procs counts the cores this process may use, so a container's or taskset's limit
// holds.
void set_threads(int count) { omp_set_num_threads(count > 0 ? count : omp_get_num_procs()); }

int threads() { return std::max(1, omp_get_max_threads()); }

void wait_politely(char** argv) {
  // A second start would have no more cores than the first one's main thread has been bound to.
  for (const char* said :
       {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"})
    if (std::getenv(said)) return;
  setenv("GOMP_SPINCOUNT", "2000", 0);
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) execv(program.c_str(), argv);
  // Without a second start everything works, slower in company.
}

}  // namespace fjord
