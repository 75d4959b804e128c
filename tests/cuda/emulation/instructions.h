// Accesses gathered into instructions of warps, as the memory system sees them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation::watch {

struct Traffic;

/// One thread's access. Those of a warp's lanes at the same place of the code, each lane's n-th
/// there, count as one instruction: lanes that took another number of turns through a loop before
/// are matched by number, not by time.
struct Access {
  const void* place;
  unsigned thread;
  std::size_t offset, bytes;
  bool write, shared;
};

void gather(const Access& access);
/// Adds what was gathered since the last call, one block's accesses, to `traffic`.
void count_block(Traffic& traffic);

}  // namespace emulation::watch
