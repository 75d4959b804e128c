// Fibers, with AddressSanitizer told of every switch where it is there.
#include "tests/cuda/emulation/fiber.h"

#include <utility>

#include "tests/cuda/emulation/findings.h"

extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom,
                                                  std::size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old,
                                                   std::size_t* size_old);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
[[gnu::weak]] void* __asan_region_is_poisoned(void* begin, std::size_t size);
}

namespace emulation {

namespace {

constexpr std::size_t kOutermost = 4096;
// Looking through a whole stack costs what clearing it would: one life of so many is looked at, and
// since blocks have no multiple of 61 threads, every fiber is in turn.
constexpr unsigned kLookedAt = 61;

// Where the scheduler runs, between a fiber's resume() and its suspend().
struct {
  void* stack_pointer = nullptr;
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
} scheduler;

void (*first_body)() = nullptr;

void announce(void** fake_stack_save, const void* bottom, std::size_t bytes) {
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(fake_stack_save, bottom, bytes);
}

// Whether marks of a life that has ended lie deeper than its outermost frames.
bool left_deeper(char* lowest, std::size_t bytes) {
  static unsigned lives = 0;
  if (!__asan_region_is_poisoned || ++lives % kLookedAt != 0) return false;
  if (!__asan_region_is_poisoned(lowest, bytes - kOutermost)) return false;
  find("a thread that has ended left AddressSanitizer's marks deep in its stack: clear all of it");
  return true;
}

void arrived(void* fake_stack, const void** bottom, std::size_t* bytes) {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}

void enter() {
  arrived(nullptr, &scheduler.bottom, &scheduler.bytes);
  first_body();
}

}  // namespace

void Fiber::set_stack(char* lowest, std::size_t bytes) {
  lowest_ = lowest;
  bytes_ = bytes;
}

void Fiber::start(void (*body)()) {
  first_body = body;
  // A life that ended in leave() has left its outermost frames behind, one in a deadlock all.
  const bool left = std::exchange(left_, false);
  const std::size_t frames = left && !left_deeper(lowest_, bytes_) ? kOutermost : bytes_;
  if (__asan_unpoison_memory_region)
    __asan_unpoison_memory_region(lowest_ + bytes_ - frames, frames);
  stack_pointer_ = prepare_stack(lowest_, bytes_, enter);
  fake_stack_ = nullptr;
}

void Fiber::resume() {
  announce(&scheduler.fake_stack, lowest_, bytes_);
  switch_stack(&scheduler.stack_pointer, stack_pointer_);
  arrived(scheduler.fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  announce(&fake_stack_, scheduler.bottom, scheduler.bytes);
  switch_stack(&stack_pointer_, scheduler.stack_pointer);
  arrived(fake_stack_, &scheduler.bottom, &scheduler.bytes);
}

void Fiber::leave() {
  left_ = true;
  announce(nullptr, scheduler.bottom, scheduler.bytes);
  switch_stack(&stack_pointer_, scheduler.stack_pointer);
}

}  // namespace emulation
