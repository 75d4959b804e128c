// Whether cuBLASLt's algorithms compute a convolution that is a product, with the same bits on
// every run.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// Runs every candidate on the card present: once on values whose sums are exact in any order, held
/// to every bit of the definition in double; then `runs` times on values that round. Says so when
/// there is no candidate.
std::vector<std::string> faults_in_products(const ConvProblem& problem, int runs);

}  // namespace fjord::cuda
