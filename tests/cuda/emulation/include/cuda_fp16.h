// Stands in for the CUDA toolkit's header of this name.
#pragma once

#include "tests/cuda/emulation/half_types.h"
