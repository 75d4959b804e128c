// The plan of a whole training step: sound lifetimes, little waste, the same bits again.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "tests/golden/model_run.h"

namespace fjord {

namespace {

golden::RunOptions training_step(PlanOptions plan = {}) {
  return {.mode = Mode::train,
          .model = {.encoder = "resnet18", .classes = 3},
          .image = {.n = 2, .h = 75, .w = 64, .c = 3},
          .loss = "0.5*lovasz+0.5*softce(smooth=0.1)",
          .plan = plan};
}

/// Loss, logits and all gradients of two steps in a row: the second runs on what the first left.
std::vector<double> bits(const golden::RunOptions& options) {
  golden::ModelRun run(options);
  run.fill_parameters();
  run.fill_image("input");
  run.fill_label(golden::class_labels("train.target", run.label.shape().count(), 3));
  run.run();
  run.run();
  std::vector<double> all = golden::values(*run.loss.slot);
  for (const Buffer& more : {static_cast<Buffer>(*run.results.at(0).slot), run.parameters.gradients,
                             run.parameters.statistics}) {
    const auto values = golden::values(more);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace

TEST_CASE("memory poisoned at the end of each planned life changes nothing") {
  enable_cpu_kernels();
  const std::vector<double> plain = bits(training_step());
  CHECK(std::ranges::all_of(plain, [](double x) { return std::isfinite(x); }));
  CHECK(plain == bits(training_step({.poison = true})));
  CHECK(plain == bits(training_step({.check = true})));
}

TEST_CASE("the same bits again, and with one thread or two") {
  enable_cpu_kernels();
  set_threads(1);
  const std::vector<double> one = bits(training_step());
  CHECK(one == bits(training_step()));
  set_threads(2);
  CHECK(one == bits(training_step()));
  CHECK(one == bits(training_step()));
  set_threads(0);
}

TEST_CASE("the arena is hardly larger than what is alive at once") {
  enable_cpu_kernels();
  for (const char* encoder : {"resnet18", "resnet34"})
    for (Mode mode : {Mode::train, Mode::eval}) {
      const golden::ModelRun run({.mode = mode,
                                  .model = {.encoder = encoder},
                                  .image = {.n = 2, .h = 128, .w = 160, .c = 3},
                                  .loss = mode == Mode::train ? "0.5*dice+0.5*bce" : ""});
      const auto arena = static_cast<double>(run.plan->arena_bytes());
      const auto bound = static_cast<double>(run.plan->lower_bound_bytes());
      CHECK(arena >= bound);
      // Placing by size is not optimal: 8.5 % is the most that these shapes lose.
      CHECK_MESSAGE(arena <= 1.09 * bound, run.plan->report());
    }
}

TEST_CASE("evaluation keeps no more than it needs") {
  enable_cpu_kernels();
  auto bytes = [](Mode mode) {
    const golden::ModelRun run({.mode = mode,
                                .model = {.encoder = "resnet34"},
                                .image = {.n = 2, .h = 128, .w = 128, .c = 3},
                                .loss = mode == Mode::train ? "bce" : ""});
    return run.plan->arena_bytes();
  };
  CHECK(2 * bytes(Mode::eval) < bytes(Mode::train));
}

TEST_CASE("the tape says what was materialised") {
  enable_cpu_kernels();
  const golden::ModelRun run(
      {.model = {.encoder = "resnet18"}, .image = {.n = 1, .h = 32, .w = 32, .c = 3}});
  auto has = [&run](std::string_view name) {
    return std::ranges::any_of(run.tape.passes,
                               [&](const Pass& pass) { return pass.made->name == name; });
  };
  CHECK(has("encoder.bn1.norm"));                    // the skip and the pool both read it
  CHECK(has("encoder.layer1.0.bn2.norm"));           // a block's output
  CHECK(has("encoder.layer2.0.downsample.1.norm"));  // a residual
  CHECK_FALSE(has("decoder.blocks.0.concat"));       // its convolution reads through it
}

}  // namespace fjord
