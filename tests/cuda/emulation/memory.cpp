// Allocation within the card's range, with dead zones between that AddressSanitizer knows.
#include "tests/cuda/emulation/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/watch.h"

extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* address, std::size_t size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
}

namespace emulation::memory {

namespace {

constexpr std::size_t kAlignment = 256;
// Protection is changed by so much: few entries where the system has large pages.
constexpr std::size_t kLargePage = std::size_t{2} << 20;
// Shared memory begins this far into its window, so that reads before it are seen.
constexpr std::size_t kSharedBegin = 4096;

std::map<char*, std::size_t> allocations;  // in the order of addresses
std::size_t in_use = 0, shared_size = 0, highest = kLargePage;
int opened = 0;

void forbid(char* from, std::size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(from, bytes);
}

void permit(char* from, std::size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(from, bytes);
}

constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
}

// How many bytes of each piece of kAlignment are some allocation's.
std::uint16_t* live_bytes() {
  static auto* const table = static_cast<std::uint16_t*>(
      mmap(nullptr, kRange / kAlignment * sizeof(std::uint16_t), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return table;
}

bool addressable(std::size_t offset) {
  return offset % kAlignment < live_bytes()[offset / kAlignment];
}

enum class Life : std::uint8_t { begins, ends };

void set_live(const char* address, std::size_t bytes, Life life) {
  std::uint16_t* pieces = live_bytes() + static_cast<std::size_t>(address - base()) / kAlignment;
  for (std::size_t done = 0; done < bytes; done += kAlignment)
    *pieces++ =
        life == Life::ends ? 0 : static_cast<std::uint16_t>(std::min(kAlignment, bytes - done));
}

// The first gap that is large enough, dead zone included.
char* find_gap(std::size_t bytes) {
  char* candidate = base() + kSharedWindow + kAlignment;
  for (const auto& [address, size] : allocations) {
    if (candidate + padded(bytes) <= address) break;
    candidate = address + padded(size);
  }
  return candidate + padded(bytes) <= base() + kRange ? candidate : nullptr;
}

}  // namespace

char* base() {
  static char* const range = [] {
    void* memory = mmap(nullptr, kRange + kLargePage, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    auto* aligned = reinterpret_cast<char*>((address + kLargePage - 1) / kLargePage * kLargePage);
    madvise(aligned, kRange, MADV_HUGEPAGE);
    return aligned;
  }();
  return range;
}

char* shared() { return base() + kSharedBegin; }

void set_shared_bytes(std::size_t bytes) {
  shared_size = bytes;
  forbid(base(), kSharedWindow);
  permit(shared(), bytes);
}

std::size_t shared_bytes() { return shared_size; }

Open::Open() {
  if (opened++ == 0) mprotect(base(), highest, PROT_READ | PROT_WRITE);
}

Open::~Open() {
  if (--opened == 0) mprotect(base(), highest, PROT_NONE);
}

void* allocate(std::size_t bytes) {
  if (in_use + bytes > card().memory_bytes) return nullptr;
  char* address = find_gap(bytes);
  if (!address) return nullptr;
  const std::size_t end = static_cast<std::size_t>(address - base()) + padded(bytes);
  const std::size_t before = highest;
  highest = std::max(highest, (end + kLargePage - 1) / kLargePage * kLargePage);
  const Open open;
  if (highest > before) mprotect(base(), highest, PROT_READ | PROT_WRITE);
  permit(address, bytes);
  std::memset(address, 0xFF, bytes);
  forbid(address - kAlignment, kAlignment);
  forbid(address + bytes, padded(bytes) - bytes);
  allocations[address] = bytes;
  set_live(address, bytes, Life::begins);
  in_use += bytes;
  return address;
}

bool release(void* address) {
  const auto found = allocations.find(static_cast<char*>(address));
  if (found == allocations.end()) return false;
  forbid(found->first, found->second);
  set_live(found->first, found->second, Life::ends);
  watch::forget(found->first, found->second);
  in_use -= found->second;
  allocations.erase(found);
  return true;
}

bool holds(const void* address, std::size_t bytes) {
  if (bytes == 0 || !in_range(address)) return false;
  const auto begin = static_cast<std::size_t>(static_cast<const char*>(address) - base());
  const std::size_t end = begin + bytes - 1;
  if (end >= kRange) return false;
  // An allocation's end is followed by a dead zone, so its two ends tell for short accesses.
  const bool ends = addressable(begin) && addressable(end);
  if (bytes <= kAlignment || !ends) return ends;
  auto found = allocations.upper_bound(base() + begin);
  --found;
  return end < static_cast<std::size_t>(found->first - base()) + found->second;
}

std::size_t bytes_in_use() { return in_use; }

}  // namespace emulation::memory
