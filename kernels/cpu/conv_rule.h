// Where the kernels of our own take the place of oneDNN's: by a fixed rule on the shape, from what
// `fjord-bench conv` measures.
#pragma once

#include "kernels/cpu/direct/depthwise.h"
#include "kernels/cpu/direct/few_outputs.h"
#include "kernels/cpu/winograd/winograd.h"

namespace fjord {

/// Of the layers of a U-Net on ResNets Winograd wins wherever 16 channels or more go in and out.
/// With fewer, most of a vector would be filled up with zeros.
inline bool winograd_is_faster(const ConvShape& shape) {
  return shape.algorithm == ConvAlgorithm::any && winograd_fits(shape) && shape.x.c >= 16 &&
         shape.y.c >= 16;
}

inline bool few_outputs_are_faster(const ConvShape& shape) {
  return shape.algorithm != ConvAlgorithm::library && few_outputs_fit(shape);
}

/// Forward, oneDNN's take 0.95 to 1.4 times as long for 3x3 and 1.0 to 1.6 times for 5x5 windows.
inline bool depthwise_is_faster(const ConvShape& shape) {
  return shape.algorithm != ConvAlgorithm::library && depthwise_fits(shape);
}

/// oneDNN's filter gradients take 3 to 18 times as long for 5x5 windows; for 3x3 they are
/// level or ahead, except where many pixels (of the whole batch) are summed up at stride 1.
inline bool depthwise_gradient_is_faster(const ConvShape& shape) {
  constexpr std::int64_t kManyPixels = 1 << 14;
  const bool many = shape.conv.stride == 1 && shape.y.pixels() >= kManyPixels;
  return depthwise_is_faster(shape) && (shape.conv.kernel == 5 || many);
}

}  // namespace fjord
