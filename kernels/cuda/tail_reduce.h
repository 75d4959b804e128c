// The second stage of the tail's filter gradient: adds the thread blocks' partial sums.
#pragma once

#include "kernels/kernel.h"

namespace fjord::cuda {

/// The partial sums in scratch: f32 [thread block][turn][part of the outputs][part of the inputs]
/// [fragment][4][lane], as the instruction's accumulators lie over the lanes. A part is 16 inputs
/// by 16 outputs (8 for a head); its fragments are tap by tap, and last a head's dbias.
struct FilterPartials {
  int inputs = 0, outputs = 0;
  int output_block = 0;  // outputs of a turn
  int fragments = 0;
  int rows = 0;  // thread blocks

  constexpr int input_parts() const { return inputs / 16; }
  constexpr int output_parts() const { return output_block == 8 ? 1 : output_block / 16; }
  constexpr int turns() const { return (outputs + output_block - 1) / output_block; }
  constexpr int values() const {
    return turns() * output_parts() * input_parts() * fragments * 4 * 32;
  }
  constexpr std::size_t bytes() const {
    return sizeof(float) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(values());
  }
};

/// partial -> dweight (k x 3 x 3 x c) and dbias, both f32, stored or added; either may be absent.
void reduce_tail_filter(const FilterPartials& partials, const float* partial, Out dweight,
                        Out dbias, Stream& stream);

}  // namespace fjord::cuda
