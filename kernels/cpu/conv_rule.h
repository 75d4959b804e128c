// Where Winograd's convolutions take the place of direct ones, whatever the pass.
#pragma once

#include "kernels/cpu/backend.h"
#include "kernels/cpu/winograd/winograd.h"

namespace fjord {

/// Of the layers of a U-Net on ResNets Winograd wins wherever 16 channels or more go in and out
/// (`fjord-bench conv`). With fewer, most of a vector would be filled up with zeros.
inline bool winograd_is_faster(const ConvShape& shape, Isa) {
  return shape.algorithm == ConvAlgorithm::any && winograd_fits(shape) && shape.x.c >= 16 &&
         shape.y.c >= 16;
}

}  // namespace fjord
