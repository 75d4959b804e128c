// Training whose convolutions multiply bf16 on the CPU.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/trainer.h"
#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

struct Losses : Observer {
  void on_step(const StepReport& report) override { values.push_back(report.loss); }
  std::vector<double> values;
};

struct Trained {
  std::vector<double> losses;
  std::vector<float> weights;
};

// Wide enough for Winograd, whose products alone are rounded.
constexpr int kChannels = 32;

Trained train(Precision precision) {
  TrainerOptions o = toy_options();
  o.precision = precision;
  Parameters parameters;
  Trainer trainer(toy_model(1, kChannels), parameters, o);
  Waves training(kToyBatch, 10), validation(kToyBatch, 2);
  Losses losses;
  trainer.fit(training, validation, losses);
  const auto* weights = static_cast<const float*>(parameters.weights.data);
  return {losses.values, {weights, weights + parameters.weight_count()}};
}

}  // namespace

TEST_CASE("training with products of bf16: near float's, the same bits with other threads") {
  enable_cpu_kernels();
  if (!cpu_has_bf16()) {
    MESSAGE("skipped: this CPU does not multiply bf16");
    return;
  }
  const Trained exact = train(Precision::fp32), rounded = train(Precision::bf16);
  CHECK(std::abs(rounded.losses[0] - exact.losses[0]) > 1e-6);  // they are rounded
  // A layer's outputs are off by 1e-2 of their rms, at random: less of a mean over 512 pixels.
  CHECK(rounded.losses[0] == doctest::Approx(exact.losses[0]).epsilon(1e-2));
  // It learns as float does, if not along the same way.
  CHECK(exact.losses.back() < 0.5 * exact.losses.front());
  CHECK(rounded.losses.back() < 0.5 * rounded.losses.front());

  for (const int count : {1, 3, 4}) {
    set_threads(count);
    CHECK(train(Precision::bf16).weights == rounded.weights);
  }
  set_threads(0);
}
