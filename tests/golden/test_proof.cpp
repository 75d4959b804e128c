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

void demand_trainings(const std::set<std::string>& names) {
  std::set<std::string> met;
  for (const TrainingEntry& entry : training_entries()) {
    if (!names.contains(entry.name)) continue;
    met.insert(entry.name);
    demand(training_rows(entry, reference_f64));
  }
  CHECK(met == names);
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
  const std::set<std::string> plain = {"Unet/resnet18/dice_bin/sgd", "Unet/resnet18/dice_mc/adamw",
                                       "Unet/resnet34/half-dice-bce/adamw (the seed)",
                                       "Unet/resnet34/half-lovasz-softce/sgd (the seed)",
                                       "Unet/resnet18/4 channels/half-dice-softce/nesterov"};
  demand_trainings(plain);
}

TEST_CASE("UnetPlusPlus, scSE and bilinear: three training steps in double agree to 1e-9") {
  enable_reference_kernels();
  demand_trainings({"UnetPlusPlus/resnet18/joint/adam", "Unet/resnet18/bce/sgd-bilinear-scse"});
}

TEST_CASE("MAnet and Linknet: three training steps in double agree to 1e-9") {
  enable_reference_kernels();
  demand_trainings({"MAnet/resnet18/dice/sgd", "Linknet/resnet18/dice/sgd"});
}

}  // namespace fjord::golden
