// Training in low memory: forward steps that are run again change no bit, and the peak falls.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/trainer.h"
#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"
#include "tests/reference/reference.h"

namespace fjord {

namespace {

constexpr Shape kImages{2, 64, 96, 3};

/// What training has changed after three steps: weights, statistics, counters, the loss.
struct Outcome {
  std::vector<double> values;
  std::vector<std::int64_t> counts;
  std::size_t planned_bytes = 0;
  std::string report;
};

Outcome train(const ModelOptions& model, Activations activations, PlanOptions plan = {}) {
  enable_cpu_kernels();
  Parameters parameters;
  TrainerOptions options;
  options.image = kImages;
  options.loss = parse_loss("0.5*dice+0.5*bce");
  options.seed = 4;
  options.activations = activations;
  options.plan = plan;
  const Model build = [model](Net net, Tensor image) { return build_model(net, image, model); };
  Trainer trainer(build, parameters, options);
  Outcome outcome;
  for (int step = 0; step < 3; ++step) {
    const auto name = "step" + std::to_string(step);
    for (std::int64_t i = 0; i < kImages.count(); ++i)
      trainer.images()[i] = static_cast<float>(golden::u(name, i));
    for (std::int64_t i = 0; i < kImages.pixels(); ++i)
      trainer.labels()[i] = trainer.images()[3 * i] > 0.1;
    outcome.values.push_back(trainer.step(1e-3).loss);
  }
  for (const Buffer* buffer : {&parameters.weights, &parameters.statistics}) {
    const auto more = golden::values(*buffer);
    outcome.values.insert(outcome.values.end(), more.begin(), more.end());
  }
  const auto* counts = static_cast<const std::int64_t*>(parameters.counters.data);
  outcome.counts.assign(counts, counts + parameters.counters.shape.count());
  outcome.planned_bytes = trainer.planned_bytes();
  outcome.report = trainer.plan_report();
  return outcome;
}

/// Gradients and statistics that two steps leave on the reference backend, in double.
std::vector<double> reference_bits(Activations activations) {
  enable_reference_kernels();
  golden::ModelRun run(
      {.backend = Backend::reference,
       .dtype = DType::f64,
       .mode = Mode::train,
       .model = {.encoder = "efficientnet-b0", .encoder_depth = 3, .decoder_channels = {16, 8, 8}},
       .image = {1, 16, 24, 3},
       .loss = "0.5*dice+0.5*bce",
       .plan = {.poison = true},
       .activations = activations});
  run.fill_parameters();
  run.fill_image("input");
  run.fill_label(std::vector<std::uint8_t>(static_cast<std::size_t>(run.label.shape().count()), 1));
  run.run();
  run.run();
  const auto again = std::ranges::count_if(run.tape.steps, [](const Step& step) {
    return step.again && std::string_view(step.op) == "conv_forward";
  });
  CHECK((again > 0) == (activations == Activations::recomputed));
  std::vector<double> all = golden::values(run.parameters.gradients);
  const auto statistics = golden::values(run.parameters.statistics);
  all.insert(all.end(), statistics.begin(), statistics.end());
  return all;
}

}  // namespace

TEST_CASE("low memory: three steps leave the same bits, in less memory") {
  const auto compare = [](const ModelOptions& model) {
    CAPTURE(model.arch + "-" + model.encoder);
    const Outcome normal = train(model, Activations::kept);
    const Outcome low = train(model, Activations::recomputed, {.poison = true});
    CHECK(std::ranges::all_of(normal.values, [](double x) { return std::isfinite(x); }));
    CHECK(low.values == normal.values);
    CHECK(low.counts == normal.counts);
    CHECK(std::ranges::all_of(low.counts, [](std::int64_t n) { return n == 0 || n == 3; }));
    CHECK(low.planned_bytes < normal.planned_bytes);
  };
  compare({.encoder = "resnet18"});
  compare({.arch = "unetplusplus", .encoder = "resnet18"});
  compare({.encoder = "efficientnet-b0"});  // stochastic depth: the same masks again
}

TEST_CASE("low memory on the reference backend: the same bits") {
  CHECK(reference_bits(Activations::kept) == reference_bits(Activations::recomputed));
}

}  // namespace fjord
