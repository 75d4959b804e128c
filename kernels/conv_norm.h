// Convolution between batch normalisations while training, as one pass over its images: a backend
// may have it, or leave it out; then the operations run one by one.
#pragma once

#include <functional>
#include <string>

#include "kernels/activation_math.h"
#include "kernels/conv.h"

namespace fjord {

/// y = conv(x, weight) + bias. `conv.write` is of backward-data alone.
struct ConvNormShape {
  ConvShape conv;
  /// Where low.n != 0, x is cat(nearest(low -> conv.x.h x conv.x.w), skip), read through: run gets
  /// low and skip (skip.n == 0: absent), and x is never built.
  Shape low{0, 0, 0, 0}, skip{0, 0, 0, 0};
  /// Whether x, or low, is what a normalisation reads, and is read as act(x * scale + shift).
  /// Padding stays zero.
  bool normalized = false;
  Act act = Act::none;
  /// Whether y's mean and biased variance by channel are made while y is written.
  bool moments = false;
  /// Whether backward-filter makes dy first: see ConvNormGradient.
  bool makes_dy = false;
  /// Whether backward-data is given what x's normalisation made, to find act's mask.
  bool masked_by_y = false;
};

/// Absent tensors are absent.
struct ConvNormInputs {
  In x = {}, low = {}, skip = {};  // x, or low and skip
  In weight = {}, bias = {};       // not for their own gradients
  In scale = {}, shift = {};       // of `normalized`: f32, a value for each channel of x, or low
  In center = {};                  // where y's means are expected: f32; absent: at 0
};

struct ConvNormForward {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(const ConvNormInputs&, Out y, Out mean, Out variance, void* scratch, Stream&)>
      run;
  bool reads_center = false;  // without it `center` may be left out
};

/// What batch normalisation's backward pass reads beside its gradient: see
/// batch_norm_backward_reduce.
struct NormGradientInputs {
  In raw = {}, y = {};  // y may be absent: act's mask is found again from raw
  In scale = {}, shift = {}, mean = {}, inv_std = {};
  Act act = Act::none;
};
/// What its first half makes.
struct NormGradientOutputs {
  Out sums = {}, dgamma = {}, dbeta = {};
};

/// Without makes_dy `value` is dy. With it `value` is dz, the gradient behind y's normalisation: of
/// dz, norm (without its y) and sums the pass computes dy as batch_norm_backward_apply does, and
/// stores it in `made`, which may be where dz is. dweight is then asked for.
struct ConvNormGradient {
  In value;
  NormGradientInputs norm = {};
  In sums = {};
  Out made = {};
};

/// dy -> dweight, dbias (absent without bias), stored or added; x is read as going forward.
struct ConvNormBackwardFilter {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(const ConvNormInputs&, const ConvNormGradient&, Out dweight, Out dbias,
                     void* scratch, Stream&)>
      run;
};

/// dy, weight -> the gradient of x, or of low and skip, which may be absent. x, or low, is
/// act(raw * scale + shift + what else), act none or ReLU: its gradient is stored, or what it is
/// added to becomes, dz: 0 where ReLU was, and is summed up as the normalisation wants it. Each Out
/// says how it is written; `conv.write` as for ConvShape.
struct ConvNormBackwardData {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In dy, In weight, const NormGradientInputs&, Out dz, Out dskip,
                     const NormGradientOutputs&, void* scratch, Stream&)>
      run;
};

/// These slots choose an implementation by a fixed rule on the shape, and leave `run` empty where
/// they have none: the caller then records the operations one by one. A backend may leave the slots
/// themselves empty.
inline Kernel<const ConvNormShape&, ConvNormForward&> prepare_conv_norm_forward{
    "conv_norm_forward"};
inline Kernel<const ConvNormShape&, ConvNormBackwardFilter&> prepare_conv_norm_backward_filter{
    "conv_norm_backward_filter"};
/// Looks at conv, low, skip, act and masked_by_y.
inline Kernel<const ConvNormShape&, ConvNormBackwardData&> prepare_conv_norm_backward_data{
    "conv_norm_backward_data"};

}  // namespace fjord
