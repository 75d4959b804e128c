// Prints every golden, what was found and how near it has to be; exit code 1 when one fails.
// golden_table [--fp32] [--isa avx512|avx2|plain] [NAME...]: without the runs in double; on fewer
// instructions; only models and trainings whose name has one of these parts.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

#include "kernels/cpu/backend.h"
#include "tests/golden/goldens.h"
#include "tests/reference/reference.h"

namespace fjord::golden {
namespace {

struct Choice {
  bool double_too = true;
  Isa isa = Isa::automatic;
  std::vector<std::string_view> names;

  bool wants(std::string_view name) const {
    return names.empty() || std::ranges::any_of(names, [&](std::string_view part) {
             return name.find(part) != name.npos;
           });
  }
};

Choice choice(int count, char** arguments) {
  Choice chosen;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    if (word == "--fp32") chosen.double_too = false;
    const Isa before = chosen.isa;
    for (Isa isa : {Isa::avx512, Isa::avx2, Isa::plain})
      if (word == to_string(isa)) chosen.isa = isa;
    if (!word.starts_with("--") && chosen.isa == before) chosen.names.push_back(word);
  }
  return chosen;
}

bool print_all(On on, const Choice& chosen) {
  bool ok = !chosen.names.empty() || print(loss_rows(on));
  for (const ModelEntry& entry : model_entries())
    if (chosen.wants(entry.name)) ok &= print(model_rows(entry, on));
  for (const TrainingEntry& entry : training_entries())
    if (chosen.wants(entry.name)) ok &= print(training_rows(entry, on));
  return ok;
}

}  // namespace
}  // namespace fjord::golden

int main(int count, char** arguments) try {
  using namespace fjord;
  const golden::Choice chosen = golden::choice(count, arguments);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  enable_cpu_kernels(chosen.isa);
  enable_reference_kernels();
  fmt::print("{:<58} | {:<54} | {:>16} | {:>8} | {:>7} |\n", "name", "figure", "golden", "error",
             "bound");
  bool ok = golden::print(golden::metric_rows());
  for (const golden::On on : {golden::cpu_f32, golden::cpu_exact})
    ok &= golden::print_all(on, chosen);
  if (chosen.double_too) ok &= golden::print_all(golden::reference_f64, chosen);
  fmt::print("cpu is {}; {}\n", to_string(cpu_isa()),
             ok ? "every golden is met" : "some goldens FAIL");
  return ok ? 0 : 1;
} catch (const fjord::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.exit);
}
