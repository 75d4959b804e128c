// The switch between stacks on x86-64: the six registers that a call preserves, and the stack's.
#include <cstdint>

#include "tests/cuda/emulation/fiber.h"

extern "C" void emulation_switch_stack(void** from, void* to);

asm(R"(
.text
.globl emulation_switch_stack
.type emulation_switch_stack, @function
emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch_stack, .-emulation_switch_stack
)");

namespace emulation {

void* prepare_stack(char* lowest, std::size_t bytes, void (*body)()) {
  // As if `body` had been called: its return address (none) lies above 8 bytes from a multiple
  // of 16.
  auto* slot = reinterpret_cast<std::uint64_t*>(lowest + bytes) - 1;
  *slot = 0;
  *--slot = reinterpret_cast<std::uint64_t>(body);
  for (int i = 0; i < 6; ++i) *--slot = 0;
  return slot;
}

void switch_stack(void** from, void* to) { emulation_switch_stack(from, to); }

}  // namespace emulation
