// The emulated card's memory: one range of addresses, readable only while its work runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation::memory {

/// The range: first the window of shared memory, then global memory.
constexpr std::size_t kSharedWindow = std::size_t{1} << 20;
constexpr std::size_t kRange = std::size_t{8} << 30;

char* base();
inline bool in_range(const void* address) {
  return static_cast<std::size_t>(static_cast<const char*>(address) - base()) < kRange;
}
/// Where a block's shared memory begins.
char* shared();

/// Null when the described card has no room. Aligned to 256; filled with 0xFF, which is NaN.
void* allocate(std::size_t bytes);
/// False for an address that allocate() did not give.
bool release(void* address);
/// Whether all of it lies within one allocation of global memory.
bool holds(const void* address, std::size_t bytes);
std::size_t bytes_in_use();

/// Shared memory of a launch: exactly so many bytes are addressable.
void set_shared_bytes(std::size_t bytes);
std::size_t shared_bytes();

/// Opens the range to the process while it lives; the host's own reads crash otherwise.
class Open {
 public:
  Open();
  ~Open();
  Open(const Open&) = delete;
};

}  // namespace emulation::memory
