// Stands in for the CUDA toolkit's header of this name.
#pragma once

#include "tests/cuda/emulation/device.h"
#include "tests/cuda/emulation/runtime.h"
