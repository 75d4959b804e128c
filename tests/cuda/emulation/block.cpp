// The scheduler of a block.
#include "tests/cuda/emulation/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/watch.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

namespace {

// A guard page below each stack; pages that nobody touches cost nothing.
constexpr std::size_t kPage = 4096, kStack = 256 * 1024, kStacks = kMostThreads * (kStack + kPage);

const std::function<void()>* kernel_to_run = nullptr;

char* map_stacks() {
  void* memory = mmap(nullptr, kStacks, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return static_cast<char*>(memory);
}

bool same(std::source_location a, std::source_location b) {
  return a.line() == b.line() && std::string_view(a.file_name()) == b.file_name();
}

std::uint64_t random_state = 1;

}  // namespace

void seed(std::uint64_t value) { random_state = value * 0x9E3779B97F4A7C15u | 1; }

std::uint32_t random_below(std::uint32_t bound) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<std::uint32_t>((random_state >> 32) * bound >> 32);
}

Block only_block;

std::string name_of(const Thread& thread) {
  return "thread (" + std::to_string(thread.index.x) + ", " + std::to_string(thread.index.y) +
         ", " + std::to_string(thread.index.z) + ")";
}

std::string name_of(std::source_location where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

Block::Block()
    : threads_(new Thread[kMostThreads]), stacks_(map_stacks()), stacks_end_(stacks_ + kStacks) {
  for (unsigned i = 0; i < kMostThreads; ++i) {
    char* guard = stacks_ + i * (kStack + kPage);
    mprotect(guard, kPage, PROT_NONE);
    threads_[i].fiber.set_stack(guard + kPage, kStack);
  }
}

void Block::start_threads(dim3 shape) {
  count_ = shape.x * shape.y * shape.z;
  waiting_ = 0;
  aborted_ = false;
  ready_.clear();
  for (unsigned w = 0; w < warps_.size(); ++w) {
    warps_[w].epoch = 0;
    warps_[w].present = warps_[w].waiting = 0;
  }
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.linear = i;
    thread.index = {i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
    thread.state = Thread::State::ready;
    thread.copies.clear();
    warps_[i / kWarp].present |= 1u << i % kWarp;
    thread.fiber.start([] {
      (*kernel_to_run)();
      block().leave(block().current());
    });
    ready_.push_back(&thread);
  }
}

bool Block::run(dim3 shape, const std::function<void()>& kernel) {
  kernel_to_run = &kernel;
  start_threads(shape);
  while (!ready_.empty() && !aborted_) {
    const auto pick = random_below(static_cast<std::uint32_t>(ready_.size()));
    std::swap(ready_[pick], ready_.back());
    Thread* thread = ready_.back();
    ready_.pop_back();
    run_thread(*thread);
  }
  if (aborted_) return false;
  const bool stuck = std::any_of(threads_.get(), threads_.get() + count_, [](const Thread& thread) {
    return thread.state != Thread::State::left;
  });
  if (stuck) find(describe_deadlock());
  return !stuck;
}

void Block::abort() {
  aborted_ = true;
  current().fiber.suspend();
}

void Block::run_thread(Thread& thread) {
  current_ = &thread;
  threadIdx = thread.index;
  thread.fiber.resume();
  current_ = nullptr;
}

unsigned Block::barrier(unsigned predicate, std::source_location where) {
  Thread& me = current();
  me.where = where;
  me.predicate = predicate;
  me.state = Thread::State::at_barrier;
  if (++waiting_ == count_) release_barrier();
  me.fiber.suspend();
  return me.result;
}

void Block::release_barrier() {
  unsigned predicates = 0;
  for (unsigned i = 0; i < count_; ++i) predicates += threads_[i].predicate != 0;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    if (!same(thread.where, threads_[0].where))
      find(launch_name() + ": " + name_of(threads_[0]) + " waits at the barrier of " +
           name_of(threads_[0].where) + ", " + name_of(thread) + " at that of " +
           name_of(thread.where));
    thread.result = predicates;
    thread.state = Thread::State::ready;
    ready_.push_back(&thread);
  }
  waiting_ = 0;
  watch::next_phase();
}

void Block::exchange(std::uint32_t mask, Exchange exchange, std::source_location where) {
  Thread& me = current();
  if (!(mask >> me.lane() & 1))
    find(launch_name() + ", " + name_of(me) + ": is not in the mask of its own warp call at " +
         name_of(where));
  me.where = where;
  me.mask = mask | 1u << me.lane();
  me.exchange = exchange;
  me.state = Thread::State::at_exchange;
  warp().waiting |= 1u << me.lane();
  if (!complete_exchange(me)) me.fiber.suspend();
}

// Whether all of the group have come; then they are ready, and the last goes on at once.
bool Block::complete_exchange(Thread& last) {
  Warp& warp = warps_[last.linear / kWarp];
  Thread* lanes = &threads_[last.linear / kWarp * kWarp];
  const std::uint32_t group = last.mask & warp.present;
  if (group & ~warp.waiting) return false;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!(group >> i & 1)) continue;
    if (lanes[i].mask != last.mask || lanes[i].exchange != last.exchange) return false;
  }
  last.exchange(warp, group);
  warp.waiting &= ~group;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!(group >> i & 1)) continue;
    lanes[i].state = Thread::State::ready;
    if (&lanes[i] != current_) ready_.push_back(&lanes[i]);
  }
  return true;
}

void Block::leave(Thread& thread) {
  thread.state = Thread::State::left;
  Warp& warp = warps_[thread.linear / kWarp];
  warp.present &= ~(1u << thread.lane());
  Thread* lanes = &threads_[thread.linear / kWarp * kWarp];
  for (unsigned i = 0; i < kWarp; ++i)
    if (warp.present & warp.waiting & 1u << i) complete_exchange(lanes[i]);
  thread.fiber.leave();
}

std::string Block::describe_deadlock() const {
  const Thread *waits = nullptr, *other = nullptr;
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == Thread::State::left || (waits && !same(thread.where, waits->where))) {
      if (!other) other = &thread;
    } else if (!waits) {
      waits = &thread;
    }
  }
  std::string text = launch_name() + ": deadlock, " + name_of(*waits) + " waits for ever at " +
                     name_of(waits->where);
  if (!other) return text;
  return text + ", " + name_of(*other) +
         (other->state == Thread::State::left ? " has left the kernel"
                                              : " waits at " + name_of(other->where));
}

}  // namespace emulation
