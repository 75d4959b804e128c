// A convolution with its epilogue as a cuDNN operation graph.
#pragma once

#include <vector>

#include "kernels/cuda/conv_library.h"
#include "kernels/cuda/cudnn_descriptor.h"

namespace fjord::cuda {

/// Names of the tensors of a call; from `virtual_` on values between operations.
enum class ConvTensor : std::int64_t {
  first = 1,
  second,
  result,
  bias,
  residual,
  center,
  first_sum,
  second_sum,
  sums_x,
  sums_y,
  scale,
  shift,
  virtual_
};

struct ConvGraph {
  std::vector<Descriptor> parts;  // what the graph refers to: tensors, operations
  Descriptor graph;
};

/// Old values are added by the convolution's own beta, so not behind bias or relu.
ConvGraph conv_graph(const ConvProblem& problem);

}  // namespace fjord::cuda
