// Warp exchanges, atomics and asynchronous copies: the part of device code that is not inline.
#include "tests/cuda/emulation/device.h"

#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/ptx.h"
#include "tests/cuda/emulation/watch.h"

namespace emulation {

void give_from_source(Warp& warp, std::uint32_t mask) {
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (!(mask >> lane & 1)) continue;
    const unsigned source = warp.source[lane];
    if (mask >> source & 1) {
      warp.out[lane] = warp.in[source];
      continue;
    }
    warp.out[lane].bytes.fill(std::byte{0xFF});
    find(launch_name() + ": a lane reads from lane " + std::to_string(source) +
         " of its warp, which is not there, at " + name_of(block().current().where));
  }
}

void give_ballot(Warp& warp, std::uint32_t mask) {
  std::uint32_t ballot = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane)
    if (mask >> lane & 1 && warp.source[lane]) ballot |= 1u << lane;
  for (unsigned lane = 0; lane < kWarp; ++lane)
    if (mask >> lane & 1) put(warp.out[lane], ballot);
}

void order_memory(Warp& warp, std::uint32_t) { ++warp.epoch; }

std::uint32_t ballot(std::uint32_t mask, bool predicate, Where where) {
  Warp& warp = block().warp();
  const unsigned lane = block().current().lane();
  warp.source[lane] = predicate;
  block().exchange(mask, give_ballot, where);
  return get<std::uint32_t>(warp.out[lane]);
}

namespace {

template <class T, class Update>
T atomically(T* address, Update update) {
  watch::atomic(address, sizeof(T), __builtin_return_address(0));
  const T before = *address;
  *address = update(before);
  return before;
}

}  // namespace

std::uint32_t atomic_add(std::uint32_t* address, std::uint32_t value) {
  return atomically(address, [=](std::uint32_t before) { return before + value; });
}
std::uint64_t atomic_add(std::uint64_t* address, std::uint64_t value) {
  return atomically(address, [=](std::uint64_t before) { return before + value; });
}
std::uint32_t atomic_max(std::uint32_t* address, std::uint32_t value) {
  return atomically(address, [=](std::uint32_t before) { return std::max(before, value); });
}
std::int32_t atomic_max(std::int32_t* address, std::int32_t value) {
  return atomically(address, [=](std::int32_t before) { return std::max(before, value); });
}
std::uint32_t atomic_min(std::uint32_t* address, std::uint32_t value) {
  return atomically(address, [=](std::uint32_t before) { return std::min(before, value); });
}
std::int32_t atomic_min(std::int32_t* address, std::int32_t value) {
  return atomically(address, [=](std::int32_t before) { return std::min(before, value); });
}
std::uint32_t atomic_or(std::uint32_t* address, std::uint32_t value) {
  return atomically(address, [=](std::uint32_t before) { return before | value; });
}
std::uint32_t atomic_exchange(std::uint32_t* address, std::uint32_t value) {
  return atomically(address, [=](std::uint32_t) { return value; });
}
std::uint32_t atomic_cas(std::uint32_t* address, std::uint32_t expected, std::uint32_t value) {
  return atomically(address,
                    [=](std::uint32_t before) { return before == expected ? value : before; });
}

void copy_later(void* shared, const void* global) {
  // The instruction counts now, and the place may be written from now on until the wait.
  watch::access(global, 16, watch::Kind::read, __builtin_return_address(0));
  watch::access(shared, 16, watch::Kind::write, __builtin_return_address(0));
  block().current().copies.push_back({shared, global, false});
}

void commit_copies() {
  auto& copies = block().current().copies;
  // Groups end at their last copy; an empty group counts too.
  copies.push_back({nullptr, nullptr, true});
}

void wait_copies(int groups_left) {
  auto& copies = block().current().copies;
  const void* caller = __builtin_return_address(0);
  int groups = 0;
  for (const AsyncCopy& copy : copies) groups += copy.ends_group;
  std::size_t done = 0;
  for (; done < copies.size() && (groups_left < 0 || groups > groups_left); ++done) {
    const AsyncCopy& copy = copies[done];
    groups -= copy.ends_group;
    if (copy.ends_group) continue;
    watch::touch(copy.from, 16, watch::Kind::read, caller);
    watch::touch(copy.to, 16, watch::Kind::write, caller);
    std::memcpy(copy.to, copy.from, 16);
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace emulation
