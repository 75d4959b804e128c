// Which convolution runs where on the GPU, for training and inference alike: the hand-written tail
// where it fits, the library elsewhere.
#pragma once

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// Whether the tail's kernels do it on the card present.
bool is_tail(const ConvShape& shape);

/// One pass of a layer as the library knows it, without an epilogue.
ConvProblem problem_of(const ConvShape& shape, ConvPass pass);

}  // namespace fjord::cuda
