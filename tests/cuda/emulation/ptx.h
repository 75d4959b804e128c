// The twins' outlines of PTX instructions: operands pass between the lanes of a warp.
#pragma once

#include <cstdint>

#include "tests/cuda/emulation/device.h"

namespace emulation {

/// Sixteen bytes from global to shared memory, which arrive no earlier than they are waited for.
void copy_later(void* shared, const void* global);
void commit_copies();
/// Brings all but the last `groups_left` groups; everything, committed or not, when negative.
void wait_copies(int groups_left);

/// A lane's 16 bytes of an 8 x 8 matrix of 16-bit values go to the lanes that hold its row.
void give_rows(Warp& warp, std::uint32_t mask);
void give_columns(Warp& warp, std::uint32_t mask);

/// The operands of one lane, then the products of 16 x 16 by 16 x 8 that it receives.
struct MmaOperands {
  std::uint32_t a[4], b[2];
};
void multiply_bf16(Warp& warp, std::uint32_t mask);
void multiply_f16(Warp& warp, std::uint32_t mask);

}  // namespace emulation
