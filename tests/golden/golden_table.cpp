// Prints every golden, what was found and how near it has to be; exit code 1 when one fails.
// golden_table [--fp32]: without the runs in double.
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "kernels/cpu/backend.h"
#include "tests/golden/goldens.h"
#include "tests/reference/reference.h"

int main(int count, char** arguments) {
  using namespace fjord;
  const bool fast = count > 1 && std::string_view(arguments[1]) == "--fp32";
  enable_cpu_kernels();
  enable_reference_kernels();
  bool ok = true;
  fmt::print("{:<58} | {:<54} | {:>16} | {:>8} | {:>7} |\n", "name", "figure", "golden", "error",
             "bound");
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (const golden::On& on : {golden::cpu_f32, golden::reference_f64}) {
    if (fast && on.backend == Backend::reference) continue;
    ok &= print(golden::loss_rows(on));
    for (const golden::ModelEntry& entry : golden::model_entries())
      ok &= print(golden::model_rows(entry, on));
    for (const golden::TrainingEntry& entry : golden::training_entries())
      ok &= print(golden::training_rows(entry, on));
  }
  fmt::print("{}\n", ok ? "every golden is met" : "some goldens FAIL");
  return ok ? 0 : 1;
}
