// How long a plan of a convolution takes on the card present.
#pragma once

#include <functional>

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// Milliseconds that a plan of one problem takes; infinity when it does not run.
using Stopwatch = std::function<float(const ConvPlan&)>;

/// On operands of zeros, whose memory it holds as long as it lives: a tenth of the
/// shortest of 5 launches of a graph of 10 runs.
Stopwatch card_stopwatch(const ConvProblem& problem);

}  // namespace fjord::cuda
