// Two-dimensional convolution: NHWC images, K x R x S x C filters.
#pragma once

#include <functional>
#include <string>

#include "kernels/kernel.h"

namespace fjord {

/// Attributes of a convolution: square kernel, same stride, padding and dilation on both axes.
struct Conv2d {
  int kernel = 3, stride = 1, padding = 1, dilation = 1, groups = 1;
};

/// Pixels that a window larger than the padded image leaves: none. PyTorch's rule otherwise,
/// floor((in + 2p - d(k-1) - 1) / s) + 1.
constexpr std::int64_t conv_size(std::int64_t in, const Conv2d& conv) {
  const std::int64_t steps = in + 2 * conv.padding - conv.dilation * (conv.kernel - 1) - 1;
  return steps < 0 ? 0 : steps / conv.stride + 1;
}

/// Everything the choice of an implementation may depend on. Never a timing, never a thread count:
/// the same command has to give the same bits.
struct ConvShape {
  Shape x, weight, y;
  Conv2d conv;
  bool bias = false;
  DType dtype = DType::f32;
  /// How backward-data will write dx. `add` plans scratch that serves both.
  Write write = Write::add;
};

/// One convolution pass made ready for its shapes: built once while recording, run every step.
/// `scratch_bytes` (packed weights, workspaces) is planned in the arena for the time of the step.
struct ConvForward {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In x, In weight, In bias, Out y, void* scratch, Stream&)> run;
};
/// dy, weight -> dx (stored or added).
struct ConvBackwardData {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In dy, In weight, Out dx, void* scratch, Stream&)> run;
};
/// x, dy -> dweight, dbias (absent without bias); stored or added. Same bits for any thread count.
struct ConvBackwardFilter {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In x, In dy, Out dweight, Out dbias, void* scratch, Stream&)> run;
};

/// These slots choose an implementation by a fixed rule on shape and instruction set.
inline Kernel<const ConvShape&, ConvForward&> prepare_conv_forward{"conv_forward"};
inline Kernel<const ConvShape&, ConvBackwardData&> prepare_conv_backward_data{"conv_backward_data"};
inline Kernel<const ConvShape&, ConvBackwardFilter&> prepare_conv_backward_filter{
    "conv_backward_filter"};

}  // namespace fjord
