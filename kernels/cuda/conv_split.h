// "Nearest x2, concatenate, 3x3" as two convolutions: a transposed 4x4 of stride 2 of the
// low-resolution image, and a 3x3 of the skip connection.
#pragma once

#include "kernels/cuda/conv_plans.h"
#include "kernels/cuda/layout.h"

namespace fjord::cuda {

/// Null for an absent tensor.
inline const void* address(In tensor) { return tensor ? tensor.buffer->data : nullptr; }

/// What all passes share: the two convolutions' shapes, and where their filters (or filters'
/// gradients) stand in scratch, before the workspace that they take turns in.
struct Split {
  explicit Split(const UpsampleConvShape& shape) : shape(shape) {
    check(upsample_conv_fits(shape), "upsample_conv",
          "needs an image of exactly twice {} and a 3x3 filter, got {} and {}",
          to_string(shape.low), to_string(shape.y), to_string(shape.weight));
    parts = {shape.weight.n, shape.low.c, has_skip() ? shape.skip.c : 0};
    const std::size_t size = size_of(shape.dtype);
    skip_offset = aligned_bytes(static_cast<std::size_t>(parts.low_count()) * size);
    workspace_offset =
        skip_offset + aligned_bytes(static_cast<std::size_t>(parts.skip_count()) * size);
  }

  bool has_skip() const { return shape.skip.n != 0; }

  // y (as the image of a convolution of stride 2) against low (as its output).
  ConvProblem low(ConvPass pass) const {
    return {.pass = pass,
            .image = shape.y,
            .filter = {parts.low, 4, 4, parts.outputs},
            .output = shape.low,
            .conv = {.kernel = 4, .stride = 2, .padding = 1},
            .dtype = shape.dtype,
            .math = shape.math};
  }
  ConvProblem skip(ConvPass pass) const {
    return {.pass = pass,
            .image = shape.skip,
            .filter = {parts.outputs, 3, 3, parts.skip},
            .output = shape.y,
            .conv = {},
            .dtype = shape.dtype,
            .math = shape.math};
  }

  void* skip_filter(void* scratch) const {
    return has_skip() ? part_of(scratch, skip_offset) : nullptr;
  }
  void* workspace(void* scratch) const { return part_of(scratch, workspace_offset); }

  UpsampleConvShape shape;
  FilterParts parts;
  std::size_t skip_offset = 0, workspace_offset = 0;
};

}  // namespace fjord::cuda
