// One CUDA thread's own stack, switched to and from without the operating system.
#pragma once

#include <cstddef>

namespace emulation {

/// Everything that runs here runs on one thread of the operating system, in turns.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;

  /// Gives it a stack, kept for all its lives. `body` never returns: it ends in leave().
  void set_stack(char* lowest, std::size_t bytes);
  void start(void (*body)());
  /// Runs it until it calls suspend() or leave(). Called by the scheduler only.
  void resume();
  /// Back to the scheduler; returns when resumed.
  void suspend();
  /// As suspend, for the last time, with nothing of the life left on the stack but its beginning.
  void leave();
  bool owns(const void* address) const {
    const auto* at = static_cast<const char*>(address);
    return at >= lowest_ && at < lowest_ + bytes_;
  }

 private:
  char* lowest_ = nullptr;
  std::size_t bytes_ = 0;
  void* stack_pointer_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  bool left_ = false;
};

/// The processor's part, one file a family: a fresh stack that begins in `body`, and the switch.
void* prepare_stack(char* lowest, std::size_t bytes, void (*body)());
void switch_stack(void** from, void* to);

}  // namespace emulation
