// What the host asks of the card while a run is under way: one recorded graph a batch, and no wait
// but for results that are a step old.
#include <doctest/doctest.h>

#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/step/toys.h"

using namespace fjord;
using namespace fjord::test;

namespace {

/// The calls between one step's report and the next: a batch is filled and queued, the result of
/// the one before it is taken.
struct CallRecorder : Observer {
  void on_step(const StepReport&) override {
    if (last) steps.push_back(emulation::calls() - *last);
    last = emulation::calls();
  }

  std::optional<emulation::Calls> last;
  std::vector<emulation::Calls> steps;
};

/// What is asked for each update of `batches` batches of so many tensors.
void check_steady(const emulation::Calls& calls, std::int64_t batches, std::int64_t inputs) {
  CHECK(calls.graph_launches == batches);
  CHECK(calls.launches == 0);
  CHECK(calls.allocations == 0);
  CHECK(calls.waits == 0);
  // For the pinned memory of each input, for each batch's loss, for the update's rate and report.
  CHECK(calls.event_waits == batches * (inputs + 1) + 2);
  // The losses and the report: all else was there.
  CHECK(calls.held_up == batches + 1);
}

}  // namespace

TEST_CASE(
    "from the third step on one graph is launched a step, and only its result is waited for") {
  enable_backends();
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    TrainerOptions o = toy_options(Backend::cuda, precision);
    o.epochs = 1;
    Toy toy(o);
    Waves training(kToyBatch, 9), validation(kToyBatch, 1);
    CallRecorder recorder;
    toy.trainer.fit(training, validation, recorder);
    // Between the reports of steps 1 and 2 the third is queued; after that of step 8 nothing is.
    REQUIRE(recorder.steps.size() == 8);
    for (std::size_t i = 0; i < 7; ++i) {
      CAPTURE(i);
      check_steady(recorder.steps[i], 1, 2);
    }
  }
}

TEST_CASE("batches that add up, and those that the card augments, are one graph each too") {
  enable_backends();
  TrainerOptions o = toy_options(Backend::cuda);
  o.epochs = 1;
  o.image = kBatch;
  o.accumulate = 2;
  o.raw = SceneBatches::raw_images(1);
  Toy toy(o);
  struct Few : SceneBatches {
    using SceneBatches::SceneBatches;
    std::int64_t batches() const override { return 10; }
  } training(1, 0);
  Waves validation(kBatch, 1);
  CallRecorder recorder;
  toy.trainer.fit(training, validation, recorder);
  REQUIRE(recorder.steps.size() == 4);
  for (std::size_t i = 1; i < 3; ++i) {
    CAPTURE(i);
    check_steady(recorder.steps[i], 2, 3);
  }
}
