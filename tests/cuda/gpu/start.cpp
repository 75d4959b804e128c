// The op cases' place on a real card.
#include <cstdio>
#include <cstdlib>

#include "kernels/error.h"
#include "kernels/plugin.h"
#include "tests/kernels/cuda_start.h"
#include "tests/kernels/start.h"

namespace fjord {

Place cuda_place(DType feature) {
  start_backends();
  if (!has_cuda_driver()) {
    std::fputs("SKIPPED: op cases on a card (no NVIDIA driver here)\n", stderr);
    std::exit(77);
  }
  enable_cuda_from(FJORD_CUDA_LIBRARY);
  return {Backend::cuda, feature};
}

bool cuda_is_emulated() { return false; }

}  // namespace fjord
