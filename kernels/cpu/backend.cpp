// Chooses the instruction set and fills the CPU slots.
#include "kernels/cpu/backend.h"

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/winograd/loops.h"
#include "kernels/error.h"

namespace fjord {

namespace {

Isa chosen_isa = Isa::automatic;
const Loops* chosen_loops = &plain::table;

const Loops& loops_of([[maybe_unused]] Isa isa) {
#ifdef FJORD_X86_LOOPS
  if (isa == Isa::avx512) return avx512::table;
  if (isa == Isa::avx2) return avx2::table;
#endif
  return plain::table;
}

}  // namespace

const WinogradLoops& winograd_bf16_loops() {
#ifdef FJORD_X86_LOOPS
  if (cpu_has_bf16()) return avx512_bf16::winograd_table;
#endif
  throw Error(ExitCode::bug, "isa", "bf16", "this CPU does not multiply it",
              "use --precision fp32");
}

const WinogradLoops& winograd_loops() {
#ifdef FJORD_X86_LOOPS
  if (cpu_isa() == Isa::avx512) return avx512::winograd_table;
  if (cpu_isa() == Isa::avx2) return avx2::winograd_table;
#endif
  return plain::winograd_table;
}

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::automatic:
      return "auto";
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::plain:
      return "plain";
  }
  return "unknown";
}

Isa best_isa() {
#ifdef FJORD_X86_LOOPS
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v3) return v4 ? Isa::avx512 : Isa::avx2;
#endif
  return Isa::plain;
}

Isa isa_to_use(Isa asked, Isa best) {
  if (asked == Isa::automatic) return best;
  if (asked < best)  // they are ordered from the widest on
    throw Error(
        ExitCode::device, "isa", fmt::format("--isa {}", to_string(asked)),
        fmt::format("this CPU does not have these instructions, its best are {}", to_string(best)),
        "use --isa auto");
  return asked;
}

const Loops& loops() { return *chosen_loops; }

Isa cpu_isa() { return chosen_isa; }

bool cpu_has_bf16() {
#ifdef FJORD_X86_LOOPS
  return cpu_isa() == Isa::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

void enable_cpu_kernels(Isa isa) {
  if (chosen_isa != Isa::automatic && (isa == chosen_isa || isa == Isa::automatic)) return;
  if (chosen_isa != Isa::automatic)
    throw Error(ExitCode::device, "isa", fmt::format("--isa {}", to_string(isa)),
                fmt::format("this process already uses {}", to_string(chosen_isa)),
                fmt::format("use --isa {} from the start", to_string(isa)));
  const Isa wanted = isa_to_use(isa, best_isa());
  limit_onednn(wanted);
  chosen_isa = wanted;
  chosen_loops = &loops_of(wanted);
  fill_pointwise_kernels();
  fill_norm_kernels();
  fill_spatial_kernels();
  fill_gate_kernels();
  fill_matrix_kernels();
  fill_optimizer_kernels();
  fill_conv_kernels();
  fill_upsample_conv_kernels();
  fill_conv_inference_kernels();
  fill_conv_norm_kernels();
  fill_loss_kernels();
  fill_loss_gradient_kernels();
  fill_lovasz_kernels();
  fill_formula_loss_kernels();
  fill_confusion_kernels();
}

}  // namespace fjord
