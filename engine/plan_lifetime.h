// A planned tensor's size in the arena, and when it is there.
#pragma once

#include "engine/tensor.h"

namespace fjord {

inline constexpr std::size_t kArenaAlignment = 64;

inline std::size_t planned_bytes(const Slot& slot) {
  return (slot.bytes() + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

inline bool alive(const Slot& slot, int step) { return slot.first <= step && step <= slot.last; }

}  // namespace fjord
