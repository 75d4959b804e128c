// Stands in for the CUDA toolkit's header of this name.
#pragma once

#include "tests/cuda/emulation/device.h"
#include "tests/cuda/emulation/runtime.h"

// What nvcc defines by itself: the architectures that it compiles for.
#define __CUDA_ARCH_LIST__ 900
