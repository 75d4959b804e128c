// The engine's own tape and plan on naive double kernels against PyTorch in double: 1e-9.
#include <doctest/doctest.h>

#include <set>

#include "tests/golden/goldens.h"
#include "tests/reference/reference.h"

namespace fjord::golden {

namespace {

void demand(const std::vector<Row>& rows) {
  CHECK_FALSE(rows.empty());
  for (const Row& row : rows) CHECK_MESSAGE(row.ok(), to_string(row));
}

}  // namespace

TEST_CASE("encoders and models in evaluation mode, in double") {
  enable_reference_kernels();
  // Naive loops take their time: golden_table has all.
  const std::set<std::string> small = {"resnet18",
                                       "resnet34",
                                       "mobilenet_v2",
                                       "Unet/resnet34",
                                       "Unet/resnet18/depth3",
                                       "Unet/resnet18/odd75x101"};
  for (const ModelEntry& entry : model_entries())
    if (small.contains(entry.name)) demand(model_rows(entry, reference_f64));
}

TEST_CASE("three training steps in double agree with PyTorch to 1e-9") {
  enable_reference_kernels();
  std::vector<TrainingEntry> entries = training_entries();
  REQUIRE(entries.size() == 7);
  entries.resize(5);
  for (const TrainingEntry& entry : entries) demand(training_rows(entry, reference_f64));
}

}  // namespace fjord::golden
