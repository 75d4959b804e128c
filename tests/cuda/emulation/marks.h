// Who touched each byte of the card's memory last, and whether the next access races with that.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation::watch {

enum class Kind : std::uint8_t;

/// Where the running thread stands. Phases count block barriers; they grow through blocks and
/// launches, which run one after the other here, so that one number tells all three apart.
struct Position {
  std::uint32_t phase = 1, block_begin = 1, launch_begin = 1;
  std::uint16_t thread = 0, epoch = 0;  // epoch: __syncwarp of its warp so far
};

struct Verdict {
  bool race_in_block = false, race_between_blocks = false;
  bool written = true;    // by this block
  bool was_read = false;  // what the other access of the race was
  std::uint16_t other_thread = 0;
};

/// Bytes touched for the first time in this launch.
struct FirstTouch {
  int read = 0, written = 0;
};

/// Marks `bytes` bytes at `offset` of the card's range and judges the access.
Verdict mark(std::size_t offset, std::size_t bytes, Kind kind, const Position& me,
             FirstTouch& first);
/// Gives the marks' memory back.
void erase_marks(std::size_t offset, std::size_t bytes);

}  // namespace emulation::watch
