// The last write and the last read of every byte.
//
// Two accesses of a byte race when one is a write, they are by different threads, and nothing
// orders them: no block barrier, no __syncwarp within a warp; between blocks of a launch nothing
// does. The last read stands for many: flags say that others read too.
#include "tests/cuda/emulation/marks.h"

#include <sys/mman.h>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/watch.h"

namespace emulation::watch {

namespace {

struct Mark {
  std::uint32_t phase;
  std::uint16_t who, epoch;
  bool operator==(const Mark&) const = default;
};
struct Cell {
  Mark write, read;
  bool operator==(const Cell&) const = default;
};

constexpr std::uint16_t kThread = 0x03FF;       // the lowest bits of `who`
constexpr std::uint16_t kAtomic = 0x1000;       // a write that was atomic
constexpr std::uint16_t kOtherBlocks = 0x2000;  // so did other blocks of this launch
constexpr std::uint16_t kOtherWarps = 0x4000;   // and other warps in the same phase
constexpr std::uint16_t kOtherLanes = 0x8000;   // and other lanes of the warp in the same epoch

Cell* cells() {
  static Cell* const all = [] {
    void* memory = mmap(nullptr, memory::kRange * sizeof(Cell), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    madvise(memory, memory::kRange * sizeof(Cell), MADV_HUGEPAGE);
    return static_cast<Cell*>(memory);
  }();
  return all;
}

bool same_warp(std::uint16_t a, std::uint16_t b) {
  return (a & kThread) / kWarp == (b & kThread) / kWarp;
}

enum class Order : std::uint8_t { before, same_block, other_block };

// How an earlier access stands to one now.
Order order(const Mark& earlier, const Position& me) {
  if (earlier.phase < me.launch_begin) return Order::before;
  if (earlier.who & kOtherBlocks || earlier.phase < me.block_begin) return Order::other_block;
  if (earlier.phase != me.phase) return Order::before;
  if (earlier.who & kOtherWarps) return Order::same_block;
  const bool mine = (earlier.who & kThread) == me.thread && !(earlier.who & kOtherLanes);
  const bool warp_ordered = same_warp(earlier.who, me.thread) && earlier.epoch != me.epoch;
  return mine || warp_ordered ? Order::before : Order::same_block;
}

void judge(const Mark& earlier, const Position& me, bool was_read, Verdict& verdict) {
  const Order how = order(earlier, me);
  if (how == Order::before) return;
  (how == Order::other_block ? verdict.race_between_blocks : verdict.race_in_block) = true;
  verdict.was_read = was_read;
  verdict.other_thread = earlier.who & kThread;
}

Mark merged(const Mark& old, const Position& me, std::uint16_t kind) {
  Mark now{me.phase, static_cast<std::uint16_t>(me.thread | kind), me.epoch};
  if (old.phase < me.launch_begin) return now;
  if (old.phase < me.block_begin) {
    now.who |= kOtherBlocks;
    return now;
  }
  now.who |= old.who & kOtherBlocks;
  if (old.phase != me.phase) return now;
  now.who |= old.who & kOtherWarps;
  if (!same_warp(old.who, me.thread))
    now.who |= kOtherWarps;
  else if (old.epoch == me.epoch)
    now.who |= (old.who & kOtherLanes) | ((old.who & kThread) == me.thread ? 0 : kOtherLanes);
  return now;
}

void mark_read(Cell& cell, const Position& me, Verdict& verdict, FirstTouch& first) {
  judge(cell.write, me, false, verdict);
  if (cell.write.phase < me.block_begin) verdict.written = false;
  if (cell.read.phase < me.launch_begin && cell.write.phase < me.launch_begin) ++first.read;
  cell.read = merged(cell.read, me, 0);
}

void mark_write(Cell& cell, const Position& me, bool atomic, Verdict& verdict, FirstTouch& first) {
  if (!(atomic && cell.write.who & kAtomic)) judge(cell.write, me, false, verdict);
  judge(cell.read, me, true, verdict);
  if (cell.write.phase < me.launch_begin) ++first.written;
  if (atomic)
    cell.write = merged(cell.write, me, kAtomic);
  else
    cell.write = {me.phase, me.thread, me.epoch};
}

}  // namespace

Verdict mark(std::size_t offset, std::size_t bytes, Kind kind, const Position& me,
             FirstTouch& first) {
  Verdict verdict;
  Cell* const begin = cells() + offset;
  Cell before{};
  FirstTouch of_one;
  for (Cell* cell = begin; cell < begin + bytes; ++cell) {
    // Mostly a value's bytes were last touched together: what was found of one holds for the next.
    if (cell > begin && *cell == before) {
      *cell = cell[-1];
    } else {
      before = *cell;
      of_one = {};
      if (kind == Kind::read)
        mark_read(*cell, me, verdict, of_one);
      else
        mark_write(*cell, me, kind == Kind::atomic, verdict, of_one);
    }
    first.read += of_one.read;
    first.written += of_one.written;
  }
  return verdict;
}

// Old marks do no harm: they are of earlier launches. Only the memory of many is worth a call.
void erase_marks(std::size_t offset, std::size_t bytes) {
  if (bytes < (std::size_t{32} << 20)) return;
  constexpr std::size_t page = 4096;
  const auto begin = (reinterpret_cast<std::uintptr_t>(cells() + offset) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(cells() + offset + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace emulation::watch
