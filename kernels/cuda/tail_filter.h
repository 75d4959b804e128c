// The filter of a tail convolution in the order in which its kernel reads it.
#pragma once

#include "kernels/cuda/layout.h"

namespace fjord::cuda {

/// [turn][step][tap][pair of n8 operands][lane][operand of the pair][half of k][2 values]. A turn
/// gives `output_block` outputs, a step multiplies 16 values of k by a column of three taps: 16
/// channels, or 8 channels of two neighbouring taps when `input_block` is 8. Missing channels are
/// zeros.
struct FilterPacking {
  int inputs = 0, outputs = 0;  // of the pass that reads it
  int input_block = 0, output_block = 0;
  bool turned = false;  // for backward-data: taps mirrored, inputs and outputs exchanged

  constexpr int steps() const { return input_block == 8 ? 2 : 3 * input_block / 16; }
  constexpr int turns() const { return (outputs + output_block - 1) / output_block; }
  constexpr int count() const { return turns() * steps() * 3 * output_block * 16; }
};

/// weight as in memory (k x 3 x 3 x c; packed's type, or f32), each output's times its scale
/// (absent: 1) -> packed (bf16 or f16).
void pack_tail_filter(const FilterPacking& packing, In weight, In scale, TypedOut packed,
                      Stream& stream);

}  // namespace fjord::cuda
