// The check of a library's sums for batch normalisation, itself checked on the emulated card.
#include <doctest/doctest.h>

#include "kernels/cuda/backend.h"
#include "tests/cuda/plans/repeats.h"

namespace fjord {

TEST_CASE("sums beside a convolution are of what it stored, the same on every run") {
  for (const auto pass : {cuda::ConvPass::forward, cuda::ConvPass::backward_data})
    for (const auto sums : {cuda::ConvSums::moments, cuda::ConvSums::gradients}) {
      const cuda::ConvProblem problem{.pass = pass,
                                      .image = {2, 6, 8, 12},
                                      .filter = {8, 3, 3, 12},
                                      .output = {2, 6, 8, 8},
                                      .conv = {},
                                      .dtype = DType::bf16,
                                      .epilogue = {.sums = sums}};
      CAPTURE(cuda::to_string(problem));
      CHECK(cuda::faults_in_sums(problem, 2) == std::vector<std::string>{});
    }
}

}  // namespace fjord
