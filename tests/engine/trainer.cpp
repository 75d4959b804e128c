// Training runs in memory: they learn, stop, go on and count.
#include "engine/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

constexpr Shape kBatch = kToyBatch;

TrainerOptions options() {
  TrainerOptions o = toy_options();
  o.epochs = 3;
  return o;
}

struct Recorder : Observer {
  void on_step(const StepReport& report) override { losses.push_back(report.loss); }
  void on_epoch(const EpochReport& report) override { epochs.push_back(report); }
  void save(const Progress& progress, bool) override { saved = progress; }
  bool stop_requested() override {
    return stop_after > 0 && static_cast<int>(losses.size()) == stop_after;
  }

  int stop_after = 0;
  std::vector<double> losses;
  std::vector<EpochReport> epochs;
  Progress saved;
};

std::vector<float> weights(const Parameters& p) {
  const auto* w = static_cast<const float*>(p.weights.data);
  std::vector<float> all(w, w + p.weight_count());
  const auto* s = static_cast<const float*>(p.statistics.data);
  all.insert(all.end(), s, s + p.statistics.shape.count());
  return all;
}

std::vector<float> train(TrainerOptions o, Recorder& recorder) {
  enable_cpu_kernels();
  Parameters parameters;
  Trainer trainer(toy_model(), parameters, o);
  Waves training(kBatch, 5), validation(kBatch, 2);
  trainer.fit(training, validation, recorder);
  return weights(parameters);
}

}  // namespace

TEST_CASE("a run learns, reports every step and epoch, and keeps the best") {
  Recorder recorder;
  TrainerOptions o = options();
  o.epochs = 6;
  train(o, recorder);
  REQUIRE(recorder.losses.size() == 30);
  REQUIRE(recorder.epochs.size() == 6);
  CHECK(recorder.losses.back() < 0.5 * recorder.losses.front());
  CHECK(recorder.epochs.back().validation.images == 4);
  CHECK(recorder.epochs.back().validation.confusion.metrics().miou.value() > 0.8);
  CHECK(recorder.saved.finished);
  CHECK(recorder.saved.best_epoch >= 0);
}

TEST_CASE("the same command gives the same bits, for any number of threads") {
  std::vector<std::vector<float>> runs;
  for (int count : {1, 2, 3, 4, 2}) {
    set_threads(count);
    Recorder recorder;
    runs.push_back(train(options(), recorder));
  }
  set_threads(0);
  for (const auto& run : runs) CHECK(run == runs[0]);
}

TEST_CASE("stopped at any step and continued, a run ends in the same bits") {
  TrainerOptions o = options();
  SUBCASE("plain") {}
  SUBCASE("with a moving average of the weights") { o.optimizer.average = Ema{0.8}; }
  SUBCASE("with an average of epochs") { o.optimizer.average = Swa{.start = 1, .lr = 1e-3}; }
  Recorder whole;
  const std::vector<float> expected = train(o, whole);
  for (int stop : {1, 5, 7, 14}) {
    CAPTURE(stop);
    Parameters parameters;
    Waves training(kBatch, 5), validation(kBatch, 2);
    Recorder first;
    first.stop_after = stop;
    Trainer trainer(toy_model(), parameters, o);
    trainer.fit(training, validation, first);
    REQUIRE(!first.saved.finished);

    // What a checkpoint carries: weights, statistics, moments, counts, progress.
    Recorder rest;
    Parameters restored;
    Trainer again(toy_model(), restored, o);
    auto copy = [](Buffer& to, const Buffer& from) {
      std::memcpy(to.data, from.data, from.bytes());
    };
    copy(restored.weights, parameters.weights);
    copy(restored.statistics, parameters.statistics);
    copy(restored.counters, parameters.counters);
    for (std::size_t i = 0; i < trainer.optimizer().state().size(); ++i)
      copy(again.optimizer().state()[i], trainer.optimizer().state()[i]);
    again.optimizer().set_progress(trainer.optimizer().progress());
    again.fit(training, validation, rest, first.saved);

    CHECK(weights(restored) == expected);
    first.losses.insert(first.losses.end(), rest.losses.begin(), rest.losses.end());
    CHECK(first.losses == whole.losses);
    CHECK(rest.epochs.back().train_loss == whole.epochs.back().train_loss);
    CHECK(rest.epochs.back().validation.loss == whole.epochs.back().validation.loss);
  }
}

TEST_CASE("the average of the weights follows them, and takes their place for a while") {
  enable_cpu_kernels();
  TrainerOptions o = options();
  o.optimizer.average = Ema{0.8};
  Parameters parameters;
  Trainer trainer(toy_model(), parameters, o);
  Waves training(kBatch, 5);
  training.start(0, 0);
  const auto values = [](const Buffer& buffer) {
    const auto* begin = static_cast<const float*>(buffer.data);
    return std::vector<float>(begin, begin + buffer.shape.count());
  };
  const Buffer& average = trainer.optimizer().state().back();
  CHECK(values(average) == values(parameters.weights));  // before the first update
  std::vector<double> expected;
  for (int step = 1; step <= 5; ++step) {
    training.next(trainer.images(), trainer.labels());
    trainer.step(1e-2);
    const std::vector<float> now = values(parameters.weights);
    if (step == 1) expected.assign(now.begin(), now.end());
    for (std::size_t i = 0; i < now.size(); ++i) expected[i] = 0.8 * expected[i] + 0.2 * now[i];
  }
  const std::vector<float> trained = values(parameters.weights), averaged = values(average);
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::fabs(averaged[i] - expected[i]));
  CHECK(worst <= 1e-6);  // a few roundings of values up to 1
  CHECK(averaged != trained);
  trainer.optimizer().exchange_average();
  CHECK(values(parameters.weights) == averaged);
  CHECK(values(average) == trained);
  trainer.optimizer().exchange_average();
  CHECK(values(parameters.weights) == trained);
}

TEST_CASE("who scores and saves a run sees the average of its weights") {
  struct Saver : Recorder {
    explicit Saver(const Parameters& p) : parameters(p) {}
    void save(const Progress& progress, bool better) override {
      Recorder::save(progress, better);
      saved_weights = weights(parameters);
    }
    const Parameters& parameters;
    std::vector<float> saved_weights;
  };
  enable_cpu_kernels();
  TrainerOptions o = options();
  o.optimizer.average = Ema{0.8};
  Parameters parameters;
  Saver saver(parameters);
  Trainer trainer(toy_model(), parameters, o);
  Waves training(kBatch, 5), validation(kBatch, 2);
  trainer.fit(training, validation, saver);
  CHECK(saver.saved_weights != weights(parameters));
  trainer.optimizer().exchange_average();
  CHECK(saver.saved_weights == weights(parameters));
  const LossExpression loss = o.loss.at(0);
  const Scores scores = trainer.evaluator().score(validation, kBatch, 1, 0.5, &loss);
  CHECK(scores.loss == saver.epochs.back().validation.loss);
}

TEST_CASE("gradients of several batches add up to one step") {
  TrainerOptions o = options();
  o.accumulate = 2;
  Recorder recorder;
  train(o, recorder);
  CHECK(recorder.losses.size() == 6);  // 5 batches make 2 steps an epoch; the odd one is dropped

  o.accumulate = 6;
  CHECK_THROWS_WITH_AS(train(o, recorder),
                       "error[E-accumulate] --accumulate 6 - an epoch has 5 batches, so it would "
                       "make no step - use a smaller --accumulate or --batch",
                       Error);
}

TEST_CASE("--steps, --patience and clipping are honoured") {
  TrainerOptions o = options();
  o.max_steps = 7;
  Recorder steps;
  train(o, steps);
  CHECK(steps.losses.size() == 7);
  CHECK(steps.epochs.size() == 2);
  CHECK(steps.saved.finished);

  o = options();
  o.epochs = 50;
  o.patience = 2;
  o.optimizer.weight_decay = 0;
  o.schedule.lr = 0;
  o.schedule.eta_min = 0;
  Recorder patience;
  train(o, patience);
  // Running statistics still move, so the first epochs may differ; far fewer than 50 are run.
  CHECK(patience.epochs.size() < 20);
}

TEST_CASE("a diverging run stops before it spoils the weights") {
  enable_cpu_kernels();
  Parameters parameters;
  Trainer trainer(toy_model(), parameters, options());
  Waves waves(kBatch, 1);
  waves.next(trainer.images(), trainer.labels());
  trainer.images()[0] = NAN;
  const std::vector<float> before = weights(parameters);
  CHECK_THROWS_WITH_AS(trainer.step(1e-3), doctest::Contains("error[E-diverged]"), Error);
  CHECK(std::memcmp(before.data(), parameters.weights.data, parameters.weights.bytes()) == 0);
}
