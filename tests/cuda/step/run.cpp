// What is around a step on the emulated card, with a small network: replay, accumulation, reports
// that come late, the loss scale, evaluation, checkpoints, memory.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "engine/checkpoint.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/step/toys.h"

using namespace fjord;
using namespace fjord::test;

namespace {

struct Recorder : Observer {
  void on_step(const StepReport& report) override { steps.push_back(report); }
  void on_epoch(const EpochReport& report) override { epochs.push_back(report); }
  bool stop_requested() override { return ++asked == stop_after; }

  int asked = 0, stop_after = 0;
  std::vector<StepReport> steps;
  std::vector<EpochReport> epochs;
};

void check_close(double found, double wanted, double bound) {
  CAPTURE(found);
  CAPTURE(wanted);
  CHECK(std::fabs(found - wanted) <= bound * std::fabs(wanted));
}

}  // namespace

TEST_CASE("a replayed step gives the bits of one that is run as written, in every precision") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    Toy replayed(toy_options(Backend::cuda, precision));
    TrainerOptions checked = toy_options(Backend::cuda, precision);
    checked.plan.check = true;  // looks at every value between the steps: never recorded
    Toy eager(checked);
    for (int number = 0; number < 4; ++number) CHECK(replayed.step(number) == eager.step(number));
    CHECK(replayed.weights() == eager.weights());
  }
}

TEST_CASE("memory that is poisoned when its planned life ends changes nothing") {
  enable_backends();
  Toy plain(toy_options(Backend::cuda, Precision::bf16));
  TrainerOptions poisoned_options = toy_options(Backend::cuda, Precision::bf16);
  poisoned_options.plan.poison = true;
  Toy poisoned(poisoned_options);
  for (int number = 0; number < 3; ++number) CHECK(plain.step(number) == poisoned.step(number));
  CHECK(plain.weights() == poisoned.weights());
}

TEST_CASE("a loss that changes between epochs is recorded anew, as on the CPU") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::fp16}) {
    std::vector<Recorder> runs;
    for (const Backend backend : {Backend::cpu, Backend::cuda}) {
      TrainerOptions o =
          toy_options(backend, backend == Backend::cpu ? Precision::fp32 : precision);
      o.loss = parse_loss_schedule("bce; 2: lovasz; 3..4: dice");
      o.epochs = 4;
      Toy toy(o);
      Waves training(kToyBatch, 2), validation(kToyBatch, 1);
      toy.trainer.fit(training, validation, runs.emplace_back());
    }
    REQUIRE(runs[1].steps.size() == 8);
    const double bound = precision == Precision::fp32 ? 1e-4 : 3e-2;
    for (std::size_t i = 0; i < 8; ++i) {
      CAPTURE(i);
      check_close(runs[1].steps[i].loss, runs[0].steps[i].loss, bound);
      CHECK(!runs[1].steps[i].skipped);
    }
    for (std::size_t i = 0; i < 4; ++i)
      check_close(runs[1].epochs[i].validation.loss, runs[0].epochs[i].validation.loss, bound);
  }
}

TEST_CASE("steps that run again going backward change no bit of a replayed step") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    TrainerOptions low = toy_options(Backend::cuda, precision);
    low.activations = Activations::recomputed;
    Toy kept(toy_options(Backend::cuda, precision)), again(low);
    for (int number = 0; number < 3; ++number) CHECK(again.step(number) == kept.step(number));
    CHECK(again.weights() == kept.weights());
    low.plan.poison = true;
    Toy poisoned(low);
    for (int number = 0; number < 3; ++number) poisoned.step(number);
    CHECK(poisoned.weights() == kept.weights());
  }
}

TEST_CASE("gradients of several batches add up as on the CPU") {
  enable_backends();
  TrainerOptions on_cpu = toy_options(Backend::cpu), on_cuda = toy_options(Backend::cuda);
  on_cpu.accumulate = on_cuda.accumulate = 3;
  Toy cpu(on_cpu), cuda(on_cuda);
  for (int number = 0; number < 9; ++number) check_close(cuda.step(number), cpu.step(number), 1e-3);
  CHECK(cuda.trainer.optimizer().progress().step == 3);
}

TEST_CASE("a run reports every step and epoch, a step late or at the end") {
  enable_backends();
  Recorder on_cpu, on_cuda;
  Waves train(kToyBatch, 3), validation(kToyBatch, 2);
  Toy cpu(toy_options(Backend::cpu)), cuda(toy_options(Backend::cuda));
  cpu.trainer.fit(train, validation, on_cpu);
  const Progress progress = cuda.trainer.fit(train, validation, on_cuda);
  CHECK(progress.finished);
  REQUIRE(on_cuda.steps.size() == on_cpu.steps.size());
  for (std::size_t i = 0; i < on_cpu.steps.size(); ++i) {
    CHECK(on_cuda.steps[i].step == on_cpu.steps[i].step);
    CHECK(on_cuda.steps[i].batch == on_cpu.steps[i].batch);
    check_close(on_cuda.steps[i].loss, on_cpu.steps[i].loss, 1e-3);
    check_close(on_cuda.steps[i].gradient_norm, on_cpu.steps[i].gradient_norm, 1e-2);
  }
  REQUIRE(on_cuda.epochs.size() == 2);
  for (int i : {0, 1}) {
    check_close(on_cuda.epochs[i].train_loss, on_cpu.epochs[i].train_loss, 1e-3);
    check_close(on_cuda.epochs[i].validation.loss, on_cpu.epochs[i].validation.loss, 1e-3);
    CHECK(on_cuda.epochs[i].validation.confusion.pixels() ==
          on_cpu.epochs[i].validation.confusion.pixels());
    check_close(*on_cuda.epochs[i].validation.confusion.metrics().miou,
                *on_cpu.epochs[i].validation.confusion.metrics().miou, 2e-2);
  }
}

TEST_CASE("gradients are clipped and weights averaged as on the CPU, with 16-bit filters too") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    TrainerOptions on_cpu = toy_options(Backend::cpu),
                   on_cuda = toy_options(Backend::cuda, precision);
    for (TrainerOptions* o : {&on_cpu, &on_cuda}) {
      o->optimizer.kind = OptimizerKind::sgd;  // AdamW forgets a gradient's size
      o->optimizer.clip_norm = 0.1;
      o->optimizer.average = Ema{0.7};
    }
    Recorder cpu_reports, cuda_reports;
    Waves train(kToyBatch, 3), validation(kToyBatch, 2);
    Toy cpu(on_cpu), cuda(on_cuda);
    cpu.trainer.fit(train, validation, cpu_reports);
    cuda.trainer.fit(train, validation, cuda_reports);
    REQUIRE(cuda_reports.epochs.size() == 2);
    CHECK(cpu_reports.steps[0].gradient_norm > 0.1);
    const double bound = precision == Precision::fp32 ? 1e-3 : 3e-2;
    for (int i : {0, 1})
      check_close(cuda_reports.epochs[i].validation.loss, cpu_reports.epochs[i].validation.loss,
                  bound);
    const LossExpression loss = on_cuda.loss.at(0);
    const auto score = [&] {
      return cuda.trainer.evaluator().score(validation, kToyBatch, 1, 0.5, &loss).loss;
    };
    const double trained = score();
    const std::vector<float> weights = cuda.weights();
    cuda.trainer.optimizer().exchange_average();
    CHECK(score() == cuda_reports.epochs.back().validation.loss);
    CHECK(score() != trained);
    cuda.trainer.optimizer().exchange_average();
    CHECK(cuda.weights() == weights);
    CHECK(score() == trained);
  }
}

TEST_CASE("a stopped run has reported all that it did") {
  enable_backends();
  Recorder recorder;
  recorder.stop_after = 2;
  Waves train(kToyBatch, 5), validation(kToyBatch, 1);
  Toy cuda(toy_options(Backend::cuda));
  const Progress progress = cuda.trainer.fit(train, validation, recorder);
  CHECK(progress.step == 2);
  CHECK(recorder.steps.size() == 2);
  CHECK(cuda.trainer.optimizer().progress().step == 2);
}

TEST_CASE("a diverging run stops, and no weight is changed by it or by what was queued behind") {
  enable_backends();
  Toy cuda(toy_options(Backend::cuda));
  cuda.step(0);
  const std::vector<float> before = cuda.weights();
  cuda.fill(1);
  cuda.trainer.images()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(cuda.trainer.step(1e-2), doctest::Contains("error[E-diverged]"), Error);
  CHECK(cuda.weights() == before);
  CHECK_THROWS_AS(cuda.step(2), Error);
  CHECK(cuda.weights() == before);
}

TEST_CASE("fp16: an overflow is skipped and counted, 25 in a row stop the run") {
  enable_backends();
  Toy cpu(toy_options(Backend::cpu)), cuda(toy_options(Backend::cuda, Precision::fp16));
  for (int number = 0; number < 3; ++number) check_close(cuda.step(number), cpu.step(number), 3e-2);
  const std::vector<float> before = cuda.weights();
  const auto poisoned_step = [&] {
    cuda.fill(3);
    cuda.trainer.images()[0] = std::numeric_limits<float>::quiet_NaN();
    return cuda.trainer.step(1e-2);
  };
  UpdateState state = cuda.trainer.optimizer().progress();
  const std::int64_t earlier = state.skipped, updates = state.step;
  const float scale = state.loss_scale;
  CHECK(poisoned_step().skipped);
  CHECK(cuda.weights() == before);
  state = cuda.trainer.optimizer().progress();
  CHECK(state.loss_scale == scale / 2);
  CHECK(state.skipped == earlier + 1);
  CHECK(state.step == updates);
  state.skipped_in_row = 24;
  cuda.trainer.optimizer().set_progress(state);
  CHECK_THROWS_WITH_AS(poisoned_step(), doctest::Contains("25 updates in a row"), Error);
  CHECK(cuda.weights() == before);
}

TEST_CASE("a checkpoint written from the card is read back by the CPU") {
  enable_backends();
  Toy cuda(toy_options(Backend::cuda, Precision::bf16)), cpu(toy_options(Backend::cpu));
  cuda.step(0);
  const auto state_of = [](Toy& toy) {
    std::vector<NamedBuffer> state;
    for (Buffer& buffer : toy.trainer.optimizer().state())
      state.push_back({buffer.name, &buffer, toy.backend});
    return state;
  };
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("fjord-step-{}", ::getpid());
  save_checkpoint(folder, {.parameters = cuda.parameters, .state = state_of(cuda)}, {.step = 1});
  load_checkpoint(folder / "last", cpu.parameters, state_of(cpu));
  CHECK(cpu.weights() == cuda.weights());
  Toy again(toy_options(Backend::cuda, Precision::bf16));
  load_checkpoint(folder / "last", again.parameters, state_of(again));
  again.trainer.optimizer().set_progress(cuda.trainer.optimizer().progress());
  std::filesystem::remove_all(folder);
  CHECK(again.step(1) == cuda.step(1));
  CHECK(again.weights() == cuda.weights());
}

TEST_CASE("a card with too little memory: the largest batch that fits is named, and fits") {
  enable_backends();
  emulation::Card& card = emulation::card();
  const emulation::Card whole = card;
  TrainerOptions o = toy_options(Backend::cuda);
  DeviceMemory memory = device(Backend::cuda).memory();
  // Room for three images of the kind, found by asking for four.
  const auto room_for = [&](std::int64_t batch) {
    o.image.n = batch;
    Parameters parameters;
    return Trainer(toy_model(), parameters, o).planned_bytes();
  };
  const std::size_t three = room_for(3), four = room_for(4);
  memory = device(Backend::cuda).memory();
  card.memory_bytes = memory.total - memory.free + (three + four) / 2 + (1 << 16);
  std::string line;
  try {
    room_for(64);
  } catch (const Error& error) {
    line = error.what();
    CHECK(error.exit == ExitCode::device);
  }
  CAPTURE(line);
  const std::size_t at = line.find("use --batch ");
  REQUIRE(at != std::string::npos);
  const int fits = std::stoi(line.substr(at + 12));
  CHECK(fits >= 1);
  CHECK(fits < 64);
  CHECK_NOTHROW(room_for(fits));
  CHECK_THROWS_AS(room_for(fits + 2), Error);
  card = whole;
}
