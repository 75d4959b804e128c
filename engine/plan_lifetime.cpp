// Lives of tensors, from the steps that touch them.
#include "engine/plan_lifetime.h"

namespace fjord {

bool in_arena(const Slot& slot) {
  return !slot.parameter && slot.kind != Kind::outside && slot.kind != Kind::kept;
}

const Life* life_at(const Slot& slot, int step) {
  for (const Life& life : slot.lives)
    if (life.first <= step && step <= life.last) return &life;
  return nullptr;
}

std::vector<Slot*> find_lives(Tape& tape, std::span<const Turn> order) {
  for (Slot& slot : tape.slots) slot.lives.clear();
  const int steps = static_cast<int>(order.size());
  for (int i = 0; i < steps; ++i) {
    const auto touch = [i](Slot* slot, bool begins) {
      if (slot->lives.empty() || begins) slot->lives.push_back({i, i});
      slot->lives.back().last = i;
    };
    for (Slot* slot : order[i].step->reads) touch(slot, false);
    for (Slot* slot : order[i].step->writes) touch(slot, order[i].again);
  }
  std::vector<Slot*> planned;
  for (Slot& slot : tape.slots) {
    if (!in_arena(slot)) continue;
    if (slot.kind == Kind::resident) slot.lives = {{0, steps}};
    if (!slot.lives.empty()) planned.push_back(&slot);
  }
  return planned;
}

Peak find_peak(std::span<Slot* const> slots, int steps) {
  std::vector<std::size_t> born(steps + 2), died(steps + 2);
  for (const Slot* slot : slots)
    for (const Life& life : slot->lives) {
      born[life.first] += planned_bytes(*slot);
      died[life.last + 1] += planned_bytes(*slot);
    }
  Peak peak;
  std::size_t now = 0;
  for (int i = 0; i <= steps; ++i) {
    now += born[i] - died[i];
    if (now > peak.bytes) peak = {now, i};
  }
  return peak;
}

}  // namespace fjord
