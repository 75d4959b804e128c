// Kernels whose traffic is counted, and how much it may be.
#pragma once

#include <vector>

#include "tests/kernels/op_case.h"

namespace fjord {

/// `moved`: distinct sectors of each launch, as with a cache that keeps them: what memory sees.
/// `asked`: sectors that the instructions ask for. More than 1.1 where neighbours share what they
/// read, or two accesses of 16 bytes lie beside each other: what the first-level cache is for.
struct Bounds {
  double moved = 1.1, asked = 1.1;
};

struct Measured {
  OpCase op_case;
  Bounds bounds = {};
};

std::vector<Measured> measured_cases();

}  // namespace fjord
