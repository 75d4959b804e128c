// Stochastic weight averaging: which weights are averaged, at which rate, with which statistics.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/running_statistics.h"
#include "kernels/cpu/backend.h"
#include "toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

constexpr int kEpochs = 5, kStart = 2, kBatches = 3;

std::vector<float> values(const Buffer& buffer) {
  const auto* begin = static_cast<const float*>(buffer.data);
  return {begin, begin + buffer.shape.count()};
}

// Of what is compared: the largest difference, over the largest value.
double distance(const std::vector<double>& expected, const std::vector<float>& got) {
  REQUIRE(expected.size() == got.size());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::fabs(expected[i] - got[i]));
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return worst / largest;
}

struct Watcher : Observer {
  explicit Watcher(const Parameters& p) : parameters(p) {}
  void on_step(const StepReport& report) override { rates.push_back(report.lr); }
  void on_epoch(const EpochReport& report) override { epochs.push_back(report); }
  void save(const Progress& progress, bool) override {
    weights.push_back(values(parameters.weights));
    saved = progress;
  }

  const Parameters& parameters;
  std::vector<double> rates;
  std::vector<EpochReport> epochs;
  std::vector<std::vector<float>> weights;  // at the end of each epoch
  Progress saved;
};

TrainerOptions options() {
  enable_cpu_kernels();
  TrainerOptions o = toy_options();
  o.epochs = kEpochs;
  return o;
}

/// A run, and what is left of it.
struct Run {
  explicit Run(const TrainerOptions& o) : watcher(parameters), trainer(toy_model(), parameters, o) {
    Waves training(kToyBatch, kBatches), validation(kToyBatch, 2);
    trainer.fit(training, validation, watcher);
  }
  Parameters parameters;
  Watcher watcher;
  Trainer trainer;
};

}  // namespace

TEST_CASE("the run ends with the mean of the weights that the averaged epochs ended with") {
  TrainerOptions o = options();
  const Run plain(o);
  o.optimizer.average = Swa{.start = kStart};
  const Run swa(o);
  REQUIRE(swa.watcher.weights.size() == kEpochs);
  for (int epoch = 0; epoch + 1 < kEpochs; ++epoch)  // trained and saved as without
    CHECK(swa.watcher.weights[epoch] == plain.watcher.weights[epoch]);
  std::vector<double> mean(plain.watcher.weights[0].size());
  for (int epoch = kStart; epoch < kEpochs; ++epoch)
    for (std::size_t i = 0; i < mean.size(); ++i)
      mean[i] += static_cast<double>(plain.watcher.weights[epoch][i]) / (kEpochs - kStart);
  CHECK(distance(mean, swa.watcher.weights.back()) <= 2e-7);  // a rounding for each that joins
  CHECK(values(swa.parameters.weights) == swa.watcher.weights.back());
  CHECK(swa.watcher.weights.back() != plain.watcher.weights.back());
  CHECK(swa.watcher.epochs.back().better);
  CHECK(swa.watcher.epochs.back().averaged == kEpochs - kStart);
  CHECK(swa.watcher.saved.best_epoch == kEpochs - 1);
  CHECK(swa.watcher.saved.finished);
}

TEST_CASE("an epoch is the last by --steps as well; without an averaged one nothing is averaged") {
  TrainerOptions o = options();
  o.max_steps = 3 * kBatches + 1;
  const Run plain(o);
  o.optimizer.average = Swa{.start = kStart};
  const Run two(o);
  std::vector<double> mean(plain.watcher.weights[2].size());
  for (std::size_t i = 0; i < mean.size(); ++i)
    mean[i] = (static_cast<double>(plain.watcher.weights[2][i]) + plain.watcher.weights[3][i]) / 2;
  CHECK(distance(mean, values(two.parameters.weights)) <= 2e-7);
  o.optimizer.average = Swa{.start = 4};
  const Run none(o);
  CHECK(values(none.parameters.weights) == plain.watcher.weights.back());
}

// Batch statistics by another way: from what training steps at a rate of 0 make of running ones.
TEST_CASE("running statistics are the mean over an epoch's batches, of the averaged weights") {
  TrainerOptions o = options();
  o.optimizer.average = Swa{.start = kStart};
  Run swa(o);
  const std::vector<float> remade = values(swa.parameters.statistics);
  Waves training(kToyBatch, kBatches);
  training.start(kEpochs, 0);
  std::vector<float> before = remade;
  std::vector<double> mean(before.size());
  for (int batch = 0; batch < kBatches; ++batch) {
    training.next(swa.trainer.images(), swa.trainer.labels());
    swa.trainer.step(0);
    const std::vector<float> after = values(swa.parameters.statistics);
    for (std::size_t i = 0; i < mean.size(); ++i)
      mean[i] += (after[i] - 0.9 * before[i]) / 0.1 / kBatches;
    before = after;
  }
  CHECK(distance(mean, remade) <= 2e-6);  // rounded running values, ten times enlarged
  for (const Parameter& p : swa.parameters.all())
    if (p.role == Role::counter) CHECK(swa.parameters.count(p) == 2 * kBatches);
}

TEST_CASE("a frozen normalisation keeps its statistics and its count") {
  TrainerOptions o = options();
  o.optimizer.average = Swa{.start = kStart};
  Parameters parameters;
  const Model model = [](Net net, Tensor image) {
    const Tensor x = conv_bn_act((net / "encoder").freeze(), image, {.conv = {.channels = 8}});
    const Tensor y = conv_bn_act(net / "decoder", x, {.conv = {.channels = 8}});
    return conv2d(net / "head", y, {.channels = 1, .bias = true});
  };
  Trainer trainer(model, parameters, o);
  Watcher watcher(parameters);
  Waves training(kToyBatch, kBatches), validation(kToyBatch, 2);
  trainer.fit(training, validation, watcher);
  int frozen = 0;
  for (const Parameter& p : parameters.all()) {
    if (p.role == Role::weight) continue;
    const bool encoder = p.name.starts_with("encoder.");
    frozen += encoder;
    CAPTURE(p.name);
    if (p.role == Role::counter) {
      CHECK(parameters.count(p) == (encoder ? 0 : kBatches));
      continue;
    }
    const std::vector<float> initial(8, p.name.ends_with("var") ? 1.f : 0.f);
    CHECK((parameters.file_values(p) == initial) == encoder);
  }
  CHECK(frozen == 3);
}

TEST_CASE("the rate goes to its own along a cosine, as SWALR(anneal_epochs=10)") {
  TrainerOptions o = options();
  o.schedule.kind = ScheduleKind::constant;
  o.optimizer.average = Swa{.start = kStart, .lr = 2e-3};
  const Run run(o);
  REQUIRE(run.watcher.rates.size() == kEpochs * kBatches);
  for (int step = 0; step < kEpochs * kBatches; ++step) {
    const int epochs = std::max(0, step / kBatches - kStart);
    const double alpha = (1 - std::cos(std::numbers::pi * epochs / 10.0)) / 2;
    CHECK(run.watcher.rates[step] == doctest::Approx(2e-3 * alpha + 1e-2 * (1 - alpha)));
  }
  // From the rate that the schedule had come to, and never beyond.
  const Schedule s{.lr = 1e-3, .steps_per_epoch = 10, .swa = Swa{.start = 5, .lr = 5e-4}};
  CHECK(s.rate(50) == doctest::Approx(0.0001549821433127));
  CHECK(s.rate(100) == doctest::Approx((5e-4 + 0.0001549821433127) / 2));
  CHECK(s.rate(149) == doctest::Approx(5e-4 - (5e-4 - 0.0001549821433127) *
                                                  (1 + std::cos(0.9 * std::numbers::pi)) / 2));
  CHECK(s.rate(1000) == doctest::Approx(5e-4));
}
