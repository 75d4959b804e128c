// How many threads of a kernel a multiprocessor holds at once, from the architecture's limits
// ("Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide).
#pragma once

#include <algorithm>
#include <cstddef>

namespace fjord {

struct ProcessorLimits {
  int warps = 0, blocks = 0;
  std::size_t shared = 0;    // bytes
  std::size_t reserved = 0;  // of each block's shared memory, for the system
};

/// Of a multiprocessor of sm_<architecture>; all zero for one that is not known.
constexpr ProcessorLimits limits_of(int architecture) {
  constexpr std::size_t kib = 1024;
  switch (architecture) {
    case 75:
      return {32, 16, 64 * kib, 0};
    case 80:
      return {64, 32, 164 * kib, kib};
    case 86:
      return {48, 16, 100 * kib, kib};
    case 89:
      return {48, 24, 100 * kib, kib};
    case 90:
    case 100:
      return {64, 32, 228 * kib, kib};
    case 120:
      return {48, 24, 100 * kib, kib};
    default:
      return {};
  }
}

struct BlockNeeds {
  int threads = 0, registers = 0;  // registers of a thread
  std::size_t shared = 0;
};

/// Warps at once by the most that there can be; 0 where a block does not fit at all.
constexpr double occupancy(const ProcessorLimits& limits, const BlockNeeds& block) {
  constexpr int registers = 65536, registers_at_once = 256;  // of a processor, of a warp's share
  constexpr std::size_t shared_at_once = 128;
  const auto round_up = [](auto value, auto unit) { return (value + unit - 1) / unit * unit; };
  const int warps = (block.threads + 31) / 32;
  if (warps == 0 || limits.warps == 0) return 0;
  int blocks = std::min(limits.blocks, limits.warps / warps);
  // Warps are dealt to four parts of the processor, each with its quarter of the registers.
  const int warp_registers = round_up(32 * std::max(block.registers, 1), registers_at_once);
  blocks = std::min(blocks, registers / 4 / warp_registers * 4 / warps);
  const std::size_t shared = round_up(block.shared + limits.reserved, shared_at_once);
  if (shared > 0) blocks = std::min(blocks, static_cast<int>(limits.shared / shared));
  return static_cast<double>(blocks * warps) / limits.warps;
}

}  // namespace fjord
