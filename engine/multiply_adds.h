// What a recorded convolution has to compute.
#pragma once

#include "engine/tape.h"

namespace fjord {

/// The filter that a convolution reads, forward and backward-data.
const Slot& filter_read(const Step& step);
/// Multiply-adds of a convolution's step, 0 for any other.
std::int64_t multiply_adds(const Step& step);

}  // namespace fjord
