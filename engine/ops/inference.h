// A convolution and what follows it as one operation, on tapes for inference.
#pragma once

#include <optional>

#include "engine/ops.h"

namespace fjord {

/// conv2d's parameters and shape, for those who record more than it does.
struct ConvParts {
  ConvShape shape;
  Tensor weight, bias;
};
/// Checks as conv2d does, and creates its parameters.
ConvParts conv_parts(const Net& net, Tensor x, const Conv2dOptions& options);

/// Parameters of a normalisation to be folded: scale and shift of running statistics.
struct FoldedNorm {
  Tensor gamma, beta, running_mean, running_var;
  BatchNorm norm;
};

/// What follows the convolution.
struct ConvEnd {
  std::optional<FoldedNorm> norm;
  Net norm_net = {};  // where `norm` is
  Tensor residual = {};
  Act act = Act::none;
};

/// act(norm(conv(x)) + residual) as one step; absent where the tape is not for inference, somebody
/// may ask for a gradient, or the backend has no implementation of this layer.
std::optional<Tensor> conv_inference(const Net& net, Tensor x, const ConvParts& conv,
                                     const ConvEnd& end);

}  // namespace fjord
