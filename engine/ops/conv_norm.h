// A convolution between batch normalisations as one step, where the backend has that: it reads
// through the one before, and makes the moments of the one behind.
#pragma once

#include <optional>

#include "engine/ops.h"
#include "kernels/conv_norm.h"

namespace fjord {

/// Mean and biased variance of a convolution's result, by channel. `made`: by the convolution
/// itself, so that nobody has to read its result for them.
struct Moments {
  Tensor mean = {}, variance = {};
  bool made = false;
};

/// conv2d that makes these moments where the backend can; absent ones are not asked for.
Tensor conv2d(Net net, Tensor x, const Conv2dOptions& options, Moments& moments);
/// batch_norm of x with batch statistics that go to `moments`, or are there.
Tensor batch_norm(Net net, Tensor x, BatchNormOptions options, const Moments& moments);
/// Tensors for the moments of the `channels` that are normalised in net; absent where it is not
/// training.
Moments moments_for(const Net& net, std::int64_t channels);

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
                                         Tensor y, Moments& moments);
/// False where the forward step read nothing through or the backend has no such step; likewise.
bool record_conv_norm_backward_filter(const Net& net, const ConvNorm& forward, Tensor dy,
                                      Tensor weight, Tensor bias);

/// What batch_norm_backward_reduce reads beside the gradient, and makes.
struct NormGradient {
  Tensor raw, mask, scale, shift, mean, inv_std;
  Tensor sums;
  Out dgamma, dbeta;
  Act act = Act::none;
};
/// Offers that the step recorded last, backward-data of dy to dx, and to dskip where there is a
/// low, makes that as well: Deferred::sum_gradient of x, or low, where that is normalised.
void offer_norm_gradient(const Net& net, ConvNormShape shape, Tensor x, Tensor dy, Tensor weight,
                         Out dx, Out dskip);

}  // namespace fjord
