// What a plan says of itself.
#include <algorithm>
#include <array>

#include "engine/plan.h"

namespace fjord {

namespace {

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::activation:
      return "activations";
    case Kind::gradient:
      return "gradients";
    case Kind::scratch:
      return "scratch";
    case Kind::resident:
      return "inputs and results";
    case Kind::parameter:
    case Kind::outside:
    case Kind::kept:
      return "parameters";
  }
  return "";
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// Which deferred tensors got memory, or what is made again going backward.
std::string passes_report(const std::vector<Pass>& passes, bool again) {
  std::vector<std::string_view> names;
  std::size_t bytes = 0;
  for (const Pass& pass : passes)
    if (pass.again == again) {
      names.push_back(pass.made->name);
      bytes += pass.made->bytes();
    }
  if (names.empty()) return "";
  return fmt::format("  {:<18}{:>4} tensors, {:.1f} MiB: {}\n",
                     again ? "made again" : "materialised", names.size(), mib(bytes),
                     fmt::join(names, ", "));
}

}  // namespace

std::string Plan::report() const {
  std::array<std::size_t, 7> by_kind{};
  std::vector<const Slot*> at_peak;
  for (const Slot* slot : planned_) {
    if (!alive(*slot, peak_.step)) continue;
    by_kind[static_cast<std::size_t>(slot->kind)] += planned_bytes(*slot);
    at_peak.push_back(slot);
  }
  std::string text =
      fmt::format("{} steps, arena {:.1f} MiB (lower bound {:.1f}), peak at step {} ({})\n",
                  tape_.steps.size(), mib(arena_bytes_), mib(peak_.bytes), peak_.step,
                  tape_.steps.empty()
                      ? ""
                      : tape_.steps[std::min<std::size_t>(peak_.step, tape_.steps.size() - 1)].op);
  for (std::size_t kind = 0; kind < by_kind.size(); ++kind)
    if (by_kind[kind])
      text += fmt::format("  {:<20}{:>10.1f} MiB\n", to_string(static_cast<Kind>(kind)),
                          mib(by_kind[kind]));
  std::stable_sort(at_peak.begin(), at_peak.end(),
                   [](const Slot* a, const Slot* b) { return a->bytes() > b->bytes(); });
  for (std::size_t i = 0; i < std::min<std::size_t>(at_peak.size(), 5); ++i)
    text += fmt::format("  {:>10.1f} MiB  {} {}\n", mib(at_peak[i]->bytes()),
                        fjord::to_string(at_peak[i]->shape), at_peak[i]->name);
  if (kept_bytes() > 0)
    text +=
        fmt::format("  {:<20}{:>10.1f} MiB, for all runs\n", "kept of weights", mib(kept_bytes()));
  if (const auto beside = std::ranges::count(forks_, true))
    text += fmt::format("  {} filter gradients run beside what follows them\n", beside);
  text += passes_report(tape_.passes, false) + passes_report(tape_.passes, true);
  if (tape_.options.activations == Activations::recomputed)
    text += fmt::format("  {:.0f} % of the step's work is run again for them\n",
                        100 * tape_.recomputed_share);
  return text;
}

}  // namespace fjord
