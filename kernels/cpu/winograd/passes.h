// What the passes have in common between the kernels' interface and the drivers.
#pragma once

#include "kernels/conv.h"
#include "kernels/cpu/winograd/loops.h"

namespace fjord::winograd {

/// What multiplies so, and what such passes are called.
inline const WinogradLoops& loops_of(ConvMath math) {
  return math == ConvMath::bf16 ? winograd_bf16_loops() : winograd_loops();
}
inline const char* implementation_of(ConvMath math) {
  return math == ConvMath::bf16 ? "winograd:4x4:bf16" : "winograd:4x4";
}

}  // namespace fjord::winograd
