// A network that trains at all can learn one batch by heart.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/optimizer.h"
#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"

namespace fjord {

namespace {

constexpr std::int64_t kBatch = 2, kSize = 64;

/// A disc in one image, a bar in the other.
bool inside(std::int64_t n, std::int64_t y, std::int64_t x) {
  if (n == 1) return std::abs(x - y / 2 - 16) < 8;
  return (x - 24) * (x - 24) + (y - 36) * (y - 36) < 15 * 15;
}

void fill_scene(golden::ModelRun& run) {
  std::vector<double> image(static_cast<std::size_t>(run.image.shape().count()));
  std::vector<std::uint8_t> label(static_cast<std::size_t>(run.label.shape().count()));
  for (std::int64_t i = 0; i < kBatch * kSize * kSize; ++i) {
    label[i] = inside(i / (kSize * kSize), i / kSize % kSize, i % kSize);
    for (int c = 0; c < 3; ++c)
      image[3 * i + c] = (label[i] ? 0.6 - 0.4 * c : -0.3) + 0.3 * golden::u("noise", 3 * i + c);
  }
  run.fill_image(image);
  run.fill_label(label);
}

}  // namespace

TEST_CASE("one batch is learnt by heart: loss below 0.02") {
  enable_cpu_kernels();
  golden::ModelRun run({.mode = Mode::train,
                        .model = {.encoder = "resnet18"},
                        .image = {.n = kBatch, .h = kSize, .w = kSize, .c = 3},
                        .loss = "0.5*dice+0.5*bce"});
  run.parameters.initialize(0);
  fill_scene(run);
  Optimizer optimizer(run.parameters, OptimizerOptions());
  double loss = 0;
  for (int step = 0; step < 120; ++step) {
    run.run();
    loss = golden::values(*run.loss.slot).at(0);
    REQUIRE(std::isfinite(loss));
    if (loss < 0.02) break;
    optimizer.update(2e-3, {run.loss.slot});
  }
  CHECK(loss < 0.02);
}

}  // namespace fjord
