// The CPU backend in fp32 against PyTorch's figures.
#include <doctest/doctest.h>

#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "tests/golden/goldens.h"

namespace fjord::golden {

namespace {

void demand(const std::vector<Row>& rows) {
  CHECK_FALSE(rows.empty());
  for (const Row& row : rows) CHECK_MESSAGE(row.ok(), to_string(row));
}

}  // namespace

TEST_CASE("encoders and models in evaluation mode stay within 5e-5 of PyTorch, exact within 1e-5") {
  enable_cpu_kernels();
  const std::vector<ModelEntry> entries = model_entries();
  REQUIRE(entries.size() == 5);
  for (const ModelEntry& entry : entries)
    for (const On on : {cpu_f32, cpu_exact}) demand(model_rows(entry, on));
}

TEST_CASE("three training steps in fp32 pass the sieve for gross faults") {
  enable_cpu_kernels();
  const std::vector<TrainingEntry> entries = training_entries();
  REQUIRE(entries.size() == 5);
  for (const TrainingEntry& entry : entries)
    for (const On on : {cpu_f32, cpu_exact}) demand(training_rows(entry, on));
}

TEST_CASE("ten training steps leave the same bits for any number of threads") {
  enable_cpu_kernels();
  const TrainingEntry entry = training_entries().at(0);
  std::vector<std::vector<double>> weights;
  for (const int count : {1, 2, 3, 4}) {
    set_threads(count);
    weights.push_back(trained_weights(entry, cpu_f32, 10));
  }
  set_threads(0);
  for (const auto& other : weights) CHECK(other == weights[0]);
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
