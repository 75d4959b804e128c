// One block of threads: who runs next, block barriers, exchanges within a warp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "tests/cuda/emulation/fiber.h"
#include "tests/cuda/emulation/vector_types.h"

namespace emulation {

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;

/// What a lane brings into an exchange with others of its warp, and what it takes out.
struct alignas(16) Slot {
  std::array<std::byte, 32> bytes;
};

struct Warp;
/// Computes `out` of every lane in `mask` from the `in` of all.
using Exchange = void (*)(Warp& warp, std::uint32_t mask);

/// What the lanes of a warp share. `present` are those that exist and have not left the kernel.
struct Warp {
  std::array<Slot, kWarp> in, out;
  std::array<std::uint32_t, kWarp> source;  // a lane's own argument: whom it reads, its predicate
  std::uint32_t present = 0, waiting = 0;   // waiting: at an exchange
  std::uint16_t epoch = 0;  // number of __syncwarp so far: memory order within the warp
};

/// A copy under way into shared memory, or the end of a group of them.
struct AsyncCopy {
  void* to;
  const void* from;
  bool ends_group;
};

struct Thread {
  enum class State : std::uint8_t { ready, at_barrier, at_exchange, left };

  Fiber fiber;
  uint3 index{};
  unsigned linear = 0;
  State state = State::ready;
  std::source_location where;  // of the barrier or exchange that it waits at
  std::uint32_t mask = 0;
  Exchange exchange = nullptr;
  unsigned predicate = 0, result = 0;  // of a barrier that counts
  std::vector<AsyncCopy> copies;

  unsigned lane() const { return linear % kWarp; }
};

/// All threads of the block that runs. There is one, used again for every block.
class Block {
 public:
  Block();

  /// Runs `kernel` once a thread, in a random order. False when it was aborted or, with a finding,
  /// when threads wait for ever: a barrier that not all reach.
  bool run(dim3 shape, const std::function<void()>& kernel);

  /// __syncthreads: waits for all; how many brought a predicate other than 0.
  unsigned barrier(unsigned predicate, std::source_location where);
  /// Waits for the lanes of `mask` (those that have left are not waited for), then `exchange` runs
  /// once.
  void exchange(std::uint32_t mask, Exchange exchange, std::source_location where);

  /// Ends the whole block, as a fault of the hardware does. Does not return.
  void abort();

  Thread& current() { return *current_; }
  Warp& warp() { return warps_[current_->linear / kWarp]; }
  bool inside() const { return current_ != nullptr; }
  /// Whether another thread's stack holds the address.
  bool in_other_stack(const void* address) const {
    const auto* at = static_cast<const char*>(address);
    return at >= stacks_ && at < stacks_end_ && !current_->fiber.owns(address);
  }

 private:
  void start_threads(dim3 shape);
  void run_thread(Thread& thread);
  void release_barrier();
  bool complete_exchange(Thread& last);
  void leave(Thread& thread);
  std::string describe_deadlock() const;

  std::unique_ptr<Thread[]> threads_;
  char *stacks_, *stacks_end_;
  std::array<Warp, kMostThreads / kWarp> warps_;
  std::vector<Thread*> ready_;
  Thread* current_ = nullptr;
  unsigned count_ = 0, waiting_ = 0;
  bool aborted_ = false;
};

extern Block only_block;
inline Block& block() { return only_block; }

/// "thread (3, 0, 0)".
std::string name_of(const Thread& thread);
/// "norm.cu:88".
std::string name_of(std::source_location where);
/// "kernel norm_apply<float>, block (2, 0, 0)" of the launch that runs.
std::string launch_name();

/// A number below `bound` from the emulation's own generator.
std::uint32_t random_below(std::uint32_t bound);
/// Every order that is free (threads, blocks, streams) follows from the seed.
void seed(std::uint64_t value);

}  // namespace emulation

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
