// What the emulation sees of memory accesses: races, uninitialised shared memory, stray addresses,
// and how much traffic a launch makes. Only code compiled with -fsanitize=thread is seen; its calls
// come to us, and no library of the sanitizer is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/cuda/emulation/vector_types.h"

namespace emulation::watch {

enum class Kind : std::uint8_t { read, write, atomic };

/// Whether the kernels of this program were compiled so that they can be watched.
bool available();
/// Off at first. Has no effect when not available.
void set_on(bool on);
bool on();

/// Memory traffic of the launches of one kernel with one shape.
struct Traffic {
  std::string kernel;
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  std::int64_t launches = 0;
  /// Bytes of global memory that were touched at all, each counted once: what must move at least.
  std::int64_t unique_read = 0, unique_written = 0;
  /// The same in whole 32-byte sectors: what moves when the cache keeps everything.
  std::int64_t unique_read_sectors = 0, unique_written_sectors = 0;
  /// Sectors asked for by each instruction of a warp, summed: what moves without any cache.
  std::int64_t read_sectors = 0, written_sectors = 0;
  /// The fewest sectors that could hold the bytes those instructions asked for.
  std::int64_t ideal_read_sectors = 0, ideal_written_sectors = 0;
  /// Instructions of a warp on global and on shared memory; of the latter, the turns that banks
  /// made them take, and the turns that the bytes alone need.
  std::int64_t global_instructions = 0, shared_instructions = 0;
  std::int64_t shared_turns = 0, ideal_shared_turns = 0;
};

/// Since the last call, by kernel and grid.
std::vector<Traffic> take_traffic();
void add(Traffic& sum, const Traffic& more);
/// One line a kernel: bytes moved, sector and bank efficiency.
std::string table(const std::vector<Traffic>& traffic);

// What the emulation tells the watcher.
void begin_launch(const std::string& kernel, dim3 grid, dim3 block, std::size_t shared_bytes);
void begin_block();
void end_block();
void end_launch();
/// A block barrier: everything before it is ordered before everything after.
void next_phase();
void access(const void* address, std::size_t bytes, Kind kind, const void* caller);
inline void atomic(const void* address, std::size_t bytes, const void* caller) {
  access(address, bytes, Kind::atomic, caller);
}
/// As access, but counts no instruction: a copy that arrives later than it was asked for.
void touch(const void* address, std::size_t bytes, Kind kind, const void* caller);
/// Called by code compiled for the watcher, when the program starts.
void set_has_hooks();
/// The memory is free again.
void forget(const void* address, std::size_t bytes);

}  // namespace emulation::watch
