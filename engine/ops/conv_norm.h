// A convolution between batch normalisations as one step, where the backend has that: it reads
// through the one before, and makes the moments of the one behind, and going backward its gradient.
#pragma once

#include <optional>

#include "engine/ops.h"
#include "kernels/conv_norm.h"

namespace fjord {

/// What a convolution does for the batch normalisation that alone reads its result.
struct NormBehind {
  /// The result's mean and biased variance, by channel; absent: not asked for. `made`: by the
  /// convolution itself, so that nobody has to read its result for them.
  Tensor mean = {}, variance = {};
  bool made = false;
  /// Records the convolution's backward passes from the gradient behind the normalisation, of which
  /// the first of them makes the result's. Empty where it cannot.
  std::function<void(const ConvNormGradient&)> backward = {};
  /// The running mean, near which the result's is: parameters are made in order, so when asked for.
  std::function<Tensor()> center = {};
};

/// conv2d that does so where the backend can.
Tensor conv2d(Net net, Tensor x, const Conv2dOptions& options, NormBehind& behind);
/// batch_norm of x, which `behind` is of.
Tensor batch_norm(Net net, Tensor x, BatchNormOptions options, const NormBehind& behind);
/// With tensors for the moments of the `channels` that are normalised in net; without where it is
/// not training.
NormBehind norm_behind(const Net& net, std::int64_t channels);

/// What a convolution sees: x, or what x is joined from. Each may be deferred.
struct ConvSources {
  Tensor x = {}, low = {}, skip = {};
};

/// A forward step that was recorded, to be met by the filter's gradient.
struct ConvNorm {
  ConvNormShape shape;
  ConvSources sources;
};

/// Absent where there is nothing to read through and no moments are asked for, or the backend has
/// no such step of this layer; nothing is recorded then. x or low is read through where it is
/// normalised, without a residual, and nobody has materialised it before: later consumers may.
std::optional<ConvNorm> record_conv_norm(const Net& net, const ConvShape& conv,
                                         const ConvSources& sources, Tensor weight, Tensor bias,
                                         Tensor y, NormBehind& behind);
/// False where nothing is read through or made, or the backend has no such step; likewise.
bool record_conv_norm_backward_filter(const Net& net, const ConvNorm& forward,
                                      const ConvNormGradient& dy, Tensor weight, Tensor bias);
/// Whether that step can make dy.
bool makes_dy(const Net& net, const ConvNorm& forward, Tensor weight);

/// Offers that the step recorded last, backward-data of dy to dx, and to dskip where there is a
/// low, makes that as well: Deferred::sum_gradient of x, or low, where that is normalised.
void offer_norm_gradient(const Net& net, ConvNormShape shape, Tensor x, Tensor dy, Tensor weight,
                         Out dx, Out dskip);

}  // namespace fjord
