// A planned tensor's size in the arena, and when it is there.
#pragma once

#include <span>
#include <vector>

#include "engine/tape.h"

namespace fjord {

inline constexpr std::size_t kArenaAlignment = 64;

inline std::size_t planned_bytes(const Slot& slot) {
  return (slot.bytes() + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

/// Whether a tensor's memory is the arena's, rather than somebody else's.
bool in_arena(const Slot& slot);
/// The life that a step falls into; null where there is none.
const Life* life_at(const Slot& slot, int step);
inline bool alive(const Slot& slot, int step) { return life_at(slot, step) != nullptr; }

/// A step in the order in which steps are run. `again`: it makes what was not kept.
struct Turn {
  const Step* step = nullptr;
  bool again = false;
};
/// Gives the tape's tensors their lives under that order; returns those that are in the arena.
std::vector<Slot*> find_lives(Tape& tape, std::span<const Turn> order);

/// The largest sum of tensors there at once, and the step in which it is first reached.
struct Peak {
  std::size_t bytes = 0;
  int step = 0;
};
Peak find_peak(std::span<Slot* const> slots, int steps);

}  // namespace fjord
