// Whether the convolution library's sums for batch normalisation are right, and of the same bits on
// every run: until they were on a card, the training step asks for none.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// Runs a plan of a problem of bf16 with ConvSums on the card present. Empty when every run stored
/// the same bits, and sums of what it stored. The first run's residual is apart from the result,
/// the others' is where the result will be.
std::vector<std::string> faults_in_sums(const ConvProblem& problem, const ConvPlan& plan, int runs);
/// The same of the library's own plan.
std::vector<std::string> faults_in_sums(const ConvProblem& problem, int runs);

}  // namespace fjord::cuda
