// Starts the CUDA backend for the op cases; each test program has its own form of it: on emulated
// kernels (cuda_emulated.cpp) or on a card.
#pragma once

#include "tests/kernels/op_case.h"

namespace fjord {

/// CUDA with features of this type, its kernels and the reference enabled.
Place cuda_place(DType feature);
/// Whether kernels run on the CPU, ten thousand times slower.
bool cuda_is_emulated();

}  // namespace fjord
