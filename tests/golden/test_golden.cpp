// The CPU backend in fp32 against PyTorch's figures.
#include <doctest/doctest.h>

#include "kernels/cpu/backend.h"
#include "tests/golden/goldens.h"

namespace fjord::golden {

namespace {

void demand(const std::vector<Row>& rows) {
  CHECK_FALSE(rows.empty());
  for (const Row& row : rows) CHECK_MESSAGE(row.ok(), to_string(row));
}

}  // namespace

TEST_CASE("encoders and models in evaluation mode stay within 1e-5 of PyTorch") {
  enable_cpu_kernels();
  const std::vector<ModelEntry> entries = model_entries();
  REQUIRE(entries.size() == 5);
  for (const ModelEntry& entry : entries) demand(model_rows(entry, cpu_f32));
}

TEST_CASE("three training steps in fp32 pass the sieve for gross faults") {
  enable_cpu_kernels();
  const std::vector<TrainingEntry> entries = training_entries();
  REQUIRE(entries.size() == 5);
  for (const TrainingEntry& entry : entries) demand(training_rows(entry, cpu_f32));
}

TEST_CASE("a golden that is not met fails") {
  enable_cpu_kernels();
  ModelEntry entry = model_entries().at(0);
  entry.outputs.back().figures.at[1] += 1e-4 * entry.outputs.back().figures.l2;
  CHECK_FALSE(model_rows(entry, cpu_f32).back().ok());
  CHECK_FALSE(Row{"", "", "", std::nan(""), 1}.ok());
  Figures found = entry.outputs.back().figures;
  found.at[0] = std::nan("");  // and the other values equal
  CHECK(std::isnan(value_error(found, entry.outputs.back().figures, 100)));
}

}  // namespace fjord::golden
