// Starts both backends, the CPU with the instruction set of FJORD_ISA (auto, avx512, avx2, plain).
#pragma once

namespace fjord {

/// Exits with 77 (skipped, said aloud) when the CPU lacks the instruction set.
void start_backends();

}  // namespace fjord
