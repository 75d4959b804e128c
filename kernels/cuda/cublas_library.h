// Convolutions that are products, by cuBLASLt (cublas_library.cpp); a build without it has none
// (no_cublas.cpp). Asked only where plans are timed on a card: which library is faster is not known
// from shapes.
#pragma once

#include "kernels/cuda/conv_choice.h"

namespace fjord::cuda {

/// cuBLASLt's suggestions, best first, under the rule for all convolutions (see allowed() in
/// cudnn_engines.h). Empty when the problem is no product, no card is there, or cuBLASLt fails,
/// which is said once on standard error.
std::vector<ConvCandidate> product_candidates(const ConvProblem& problem);

/// The plan of a choice kept on disk; null when it does not fit (any more), or as above.
std::shared_ptr<const ConvPlan> product_plan(const ConvProblem& problem,
                                             const AlgorithmChoice& choice);

}  // namespace fjord::cuda
