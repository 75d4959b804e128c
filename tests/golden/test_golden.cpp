// The CPU backend in fp32 against PyTorch's figures.
#include <doctest/doctest.h>

#include <set>

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
  // One of each family every day; golden_table has all.
  const std::set<std::string> daily = {"resnet18",
                                       "resnet34",
                                       "Unet/resnet34",
                                       "Unet/resnet34/sigmoid",
                                       "Unet/resnet34/softmax2d",
                                       "Unet/resnet18/odd75x101",
                                       "resnet50",
                                       "resnext50_32x4d",
                                       "Unet/resnet18/depth3",
                                       "se_resnext50_32x4d",
                                       "mobilenet_v2",
                                       "efficientnet-b0",
                                       "efficientnet-b1",
                                       "timm-efficientnet-b0",
                                       "Unet/efficientnet-b0/odd75x101",
                                       "timm-resnest14d",
                                       "UnetPlusPlus/resnet18/scse",
                                       "Linknet/resnet34",
                                       "MAnet/resnet34",
                                       "Unet/resnet18/bicubic",
                                       "Unet/resnet34/scse+aux",
                                       "Unet/resnet18/instancenorm",
                                       "Unet/resnet18/identity"};
  const std::set<std::string> exact_too = {"resnet34", "Unet/resnet18/odd75x101", "mobilenet_v2"};
  std::set<std::string> met;
  for (const ModelEntry& entry : model_entries()) {
    if (!daily.contains(entry.name)) continue;
    met.insert(entry.name);
    demand(model_rows(entry, cpu_f32));
    if (exact_too.contains(entry.name)) demand(model_rows(entry, cpu_exact));
  }
  CHECK(met == daily);
}

TEST_CASE("three training steps in fp32 pass the sieve for gross faults") {
  enable_cpu_kernels();
  // UnetPlusPlus, scSE and bilinear are in golden_plain and, in double, in test_golden_proof.
  const std::set<std::string> daily = {"Unet/resnet18/dice_bin/sgd", "Unet/resnet18/dice_mc/adamw",
                                       "Unet/resnet34/half-dice-bce/adamw (the seed)",
                                       "Unet/resnet34/half-lovasz-softce/sgd (the seed)",
                                       "Unet/resnet18/4 channels/half-dice-softce/nesterov"};
  std::set<std::string> met;
  for (const TrainingEntry& entry : training_entries()) {
    if (!daily.contains(entry.name)) continue;
    met.insert(entry.name);
    for (const On on : {cpu_f32, cpu_exact}) demand(training_rows(entry, on));
  }
  CHECK(met == daily);
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
