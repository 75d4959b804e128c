// Training with losses that change: each epoch is that of a run with this epoch's loss.
#include "engine/loss_schedule.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/cpu/backend.h"
#include "toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

struct Losses : Observer {
  void on_epoch(const EpochReport& report) override { epochs.push_back(report); }
  std::vector<EpochReport> epochs;
};

// Plain gradient descent: nothing but the weights goes from one epoch to the next.
TrainerOptions descent(LossSchedule loss, int epochs) {
  TrainerOptions o = toy_options();
  o.optimizer.kind = OptimizerKind::sgd;
  o.optimizer.sgd.momentum = 0;
  o.schedule.kind = ScheduleKind::constant;
  o.loss = std::move(loss);
  o.epochs = epochs;
  return o;
}

std::vector<EpochReport> train(Parameters& parameters, const TrainerOptions& options,
                               Progress progress = {}) {
  Trainer trainer(toy_model(), parameters, options);
  Waves training(kToyBatch, 3), validation(kToyBatch, 1);
  Losses losses;
  trainer.fit(training, validation, losses, progress);
  return losses.epochs;
}

Progress after_epochs(int count) {
  Progress progress;
  progress.epoch = count;
  progress.step = 3 * count;
  return progress;
}

std::vector<float> weights(const Parameters& p) {
  const auto* w = static_cast<const float*>(p.weights.data);
  return {w, w + p.weight_count()};
}

}  // namespace

TEST_CASE("a schedule's epochs are those of runs with each loss, one after the other") {
  enable_cpu_kernels();
  const LossSchedule schedule = parse_loss_schedule("bce; 2..3: dice; 5: 0.5*lovasz+focal");
  Parameters whole;
  const auto reports = train(whole, descent(schedule, 5));
  REQUIRE(reports.size() == 5);

  Parameters parts;
  for (int epoch = 0; epoch < 5; ++epoch) {
    const TrainerOptions one = descent(schedule.at(epoch), epoch + 1);
    const auto report = train(parts, one, after_epochs(epoch));
    REQUIRE(report.size() == 1);
    CHECK(report[0].train_loss == reports[epoch].train_loss);
    CHECK(report[0].validation.loss == reports[epoch].validation.loss);
  }
  CHECK(weights(parts) == weights(whole));

  Parameters constant;
  train(constant, descent(parse_loss("bce"), 5));
  CHECK(weights(constant) != weights(whole));
}

TEST_CASE("a run that is gone on with has the loss of its epoch") {
  enable_cpu_kernels();
  const LossSchedule schedule = parse_loss_schedule("bce; 2..3: dice");
  Parameters whole, parts;
  train(whole, descent(schedule, 4));
  train(parts, descent(schedule, 2));
  train(parts, descent(schedule, 4), after_epochs(2));
  CHECK(weights(parts) == weights(whole));
}

TEST_CASE("the memory of the largest loss is planned before the first step") {
  enable_cpu_kernels();
  const auto planned = [](LossSchedule loss) {
    Parameters parameters;
    return Trainer(toy_model(), parameters, descent(std::move(loss), 3)).planned_bytes();
  };
  // Which of the two takes more depends on the scratch that this CPU's convolutions need.
  const std::size_t bce = planned(parse_loss("bce")), lovasz = planned(parse_loss("lovasz"));
  for (const char* schedule : {"bce; 2: lovasz; 3: bce", "lovasz; 2: bce; 3: lovasz"})
    CHECK(planned(parse_loss_schedule(schedule)) == std::max(bce, lovasz));
}

TEST_CASE("a mixture that the kernels refuse is refused before the first step") {
  enable_cpu_kernels();
  Parameters parameters;
  const auto options = descent(parse_loss_schedule("lovasz; 2..3: lovasz(per_image=true)"), 3);
  CHECK_THROWS_AS(Trainer(toy_model(), parameters, options), Error);
}
