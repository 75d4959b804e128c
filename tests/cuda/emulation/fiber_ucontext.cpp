// The switch between stacks by ucontext: any processor, a system call a switch.
#include <ucontext.h>

#include <map>
#include <memory>

#include "tests/cuda/emulation/fiber.h"

namespace emulation {

namespace {

// One context a stack, by its lowest address; null is the scheduler's.
ucontext_t& context_of(void* lowest) {
  static std::map<void*, std::unique_ptr<ucontext_t>> contexts;
  auto& context = contexts[lowest];
  if (!context) context = std::make_unique<ucontext_t>();
  return *context;
}

ucontext_t* running = nullptr;

}  // namespace

void* prepare_stack(char* lowest, std::size_t bytes, void (*body)()) {
  ucontext_t& context = context_of(lowest);
  getcontext(&context);
  context.uc_stack.ss_sp = lowest;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, body, 0);
  return &context;
}

void switch_stack(void** from, void* to) {
  if (!running) running = &context_of(nullptr);
  ucontext_t* left = running;
  *from = left;
  running = static_cast<ucontext_t*>(to);
  swapcontext(left, running);
}

}  // namespace emulation
