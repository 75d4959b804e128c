// Convolution for inference: batch normalisation folded into filters that are made ready once for
// all runs; bias, residual and activation are applied to the outputs as they are written.
#pragma once

#include <functional>
#include <string>

#include "kernels/conv.h"
#include "kernels/norm.h"

namespace fjord {

/// What may be held of a layer's filters between runs (--memory): whatever is fastest, or nothing
/// that is larger than the filters themselves.
enum class FilterMemory : std::uint8_t { normal, low };

/// y = act(conv(x, weight * scale) + shift + residual). `conv` describes the convolution; its bias
/// and write are not looked at. scale and shift are f32 vectors of y.c values: scale of batch
/// normalisation (absent: 1), shift of it or a bias (absent: 0). weight is f32 whatever conv.dtype
/// is, so that folding comes before rounding; residual has y's shape and, as x and y, conv.dtype.
struct ConvInferenceShape {
  ConvShape conv;
  bool scale = false, shift = false, residual = false;
  Act act = Act::none;
  /// Where low.n != 0, x is cat(nearest(low -> conv.x.h x conv.x.w), skip), read through: run gets
  /// low and skip (skip.n == 0: absent), and x is never built.
  Shape low{0, 0, 0, 0}, skip{0, 0, 0, 0};
  FilterMemory memory = FilterMemory::normal;
};

/// What one run reads. Absent tensors are absent; `kept` was written by keep, and may be by runs.
/// `weight` and `scale` are there for those who make filters ready on the way.
struct ConvInferenceInputs {
  In x = {}, low = {}, skip = {};  // x, or low and skip
  In weight = {}, scale = {}, shift = {}, residual = {};
  void* kept = nullptr;
};

struct ConvInference {
  std::string implementation;
  /// What the kept bytes mean: those of one layer with equal formats are the same bytes, so that
  /// plans of several image sizes share them.
  std::string format;
  std::size_t kept_bytes = 0, scratch_bytes = 0;
  /// Run once for each version of the weights; empty where kept_bytes is 0. Aligned to 64 bytes (on
  /// a card to 256).
  std::function<void(In weight, In scale, void* kept, Stream&)> keep;
  std::function<void(const ConvInferenceInputs&, Out y, void* scratch, Stream&)> run;
};

/// Chooses an implementation by a fixed rule on the shape, and leaves `run` empty where it has
/// none: the caller then records the plain composition. Asked twice where x is deferred: to read
/// through it, then with x itself. A backend may leave the slot itself empty.
inline Kernel<const ConvInferenceShape&, ConvInference&> prepare_conv_inference{"conv_inference"};

}  // namespace fjord
