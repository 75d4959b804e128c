// The CPU backend: fills every slot with kernels for float32.
#pragma once

#include <cstdint>
#include <string_view>

namespace fjord {

/// Instruction sets that the CPU kernels (and oneDNN) may use, the widest first. Bits differ
/// between them.
enum class Isa : std::uint8_t { automatic, avx512, avx2, plain };

std::string_view to_string(Isa isa);

/// The widest that this CPU has.
Isa best_isa();

/// What a process uses that was asked for one of these on a CPU whose best is that. Throws
/// Error{device} when the CPU lacks it.
Isa isa_to_use(Isa asked, Isa best);

/// Fills the CPU slots. The first call decides for the process (oneDNN's choice can't be undone);
/// later ones may repeat it or ask for `automatic`. Throws Error{device} when the CPU lacks the
/// instruction set, or when another one has been chosen before.
void enable_cpu_kernels(Isa isa = Isa::automatic);

/// The instruction set in use; `automatic` before enable_cpu_kernels.
Isa cpu_isa();

/// Whether it multiplies bf16: AVX-512 on a processor with AVX512_BF16.
bool cpu_has_bf16();

}  // namespace fjord
