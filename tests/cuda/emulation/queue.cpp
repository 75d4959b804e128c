// Queued work runs when somebody waits for it, so what nobody waits for is seen to be late.
#include "tests/cuda/emulation/queue.h"

#include <algorithm>
#include <utility>

#include "tests/cuda/emulation/block.h"
#include "tests/cuda/emulation/memory.h"

namespace emulation {

namespace {

std::vector<WorkPointer> pending;  // in the order of queueing

bool ready(const WorkPointer& work) {
  return std::ranges::all_of(work->needs, [](const WorkPointer& need) { return need->done; });
}

WorkPointer take_one() {
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < pending.size(); ++i)
    if (ready(pending[i])) candidates.push_back(i);
  const std::size_t pick = candidates[random_below(static_cast<std::uint32_t>(candidates.size()))];
  const WorkPointer work = pending[pick];
  pending.erase(pending.begin() + static_cast<std::ptrdiff_t>(pick));
  return work;
}

void run(const WorkPointer& work) {
  if (work->run) work->run();
  work->done = true;
  work->needs.clear();  // else a stream would keep its whole past alive
}

}  // namespace

void enqueue(const WorkPointer& work) {
  work->queued = true;
  std::erase_if(work->needs, [](const WorkPointer& need) { return !need || need->done; });
  pending.push_back(work);
}

void run_until(const WorkPointer& work) {
  if (!work || work->done) return;
  const memory::Open open;
  while (!work->done) run(take_one());
}

void run_one() {
  if (pending.empty()) return;
  const memory::Open open;
  run(take_one());
}

void run_all() {
  if (pending.empty()) return;
  const memory::Open open;
  while (!pending.empty()) run(take_one());
}

}  // namespace emulation
