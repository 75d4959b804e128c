// What goes beside a step and what goes wrong in it: filter gradients on the second stream, a card
// that is lost, gradients that overflow under --check.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "engine/checkpoint.h"
#include "engine/plan.h"
#include "kernels/pointwise.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/step/toys.h"

using namespace fjord;
using namespace fjord::test;

namespace {

/// Saves after every epoch; the card is lost while step `lost_at` is under way.
struct Keeper : Observer {
  Keeper(Toy& toy, std::filesystem::path folder) : toy(toy), folder(std::move(folder)) {}

  void on_step(const StepReport& report) override {
    if (report.step + 1 == lost_at) emulation::card().lost = cudaErrorIllegalAddress;
  }
  void save(const Progress& progress, bool) override {
    save_checkpoint(folder, {.parameters = toy.parameters}, {.step = progress.step});
    saved = toy.weights();
  }

  Toy& toy;
  std::filesystem::path folder;
  std::int64_t lost_at = 5;
  std::vector<float> saved;
};

}  // namespace

TEST_CASE("a card lost in mid-run: exit 6, and the last checkpoint stands") {
  enable_backends();
  const emulation::Card whole = emulation::card();
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("fjord-lost-{}", ::getpid());
  Waves train(kToyBatch, 3), validation(kToyBatch, 1);
  std::vector<float> saved;
  {
    Toy cuda(toy_options(Backend::cuda));
    Keeper keeper(cuda, folder);
    bool stopped = false;
    try {
      cuda.trainer.fit(train, validation, keeper);
    } catch (const Error& error) {
      stopped = true;
      CHECK(error.exit == ExitCode::device);
      CHECK(std::string(error.what()).starts_with("error[E-cuda] CUDA: "));
    }
    CHECK(stopped);
    saved = keeper.saved;
  }
  emulation::card() = whole;
  Toy cpu(toy_options(Backend::cpu));
  CHECK(cpu.weights() != saved);
  load_checkpoint(folder / "last", cpu.parameters, {});
  CHECK(cpu.weights() == saved);
  std::filesystem::remove_all(folder);
}

TEST_CASE("filter gradients run beside what follows them, and change no bit") {
  enable_backends();
  CHECK(Toy(toy_options(Backend::cuda))
            .trainer.plan_report()
            .find(" filter gradients run beside what follows them") != std::string::npos);
  CHECK(Toy(toy_options(Backend::cpu)).trainer.plan_report().find("beside") == std::string::npos);
  TrainerOptions poisoned_options = toy_options(Backend::cuda);
  poisoned_options.plan.poison = true;
  TrainerOptions in_order_options = toy_options(Backend::cuda);
  in_order_options.plan.check = true;  // each step is waited for
  Toy poisoned(poisoned_options), in_order(in_order_options);
  for (int number = 0; number < 6; ++number) CHECK(poisoned.step(number) == in_order.step(number));
  CHECK(poisoned.weights() == in_order.weights());
}

TEST_CASE("a step that needs what runs beside it, or overwrites what that reads, waits") {
  enable_backends();
  constexpr Shape shape{1, 8, 8, 64};
  for (int attempt = 0; attempt < 20; ++attempt) {
    Parameters parameters;
    parameters.allocate(Backend::cuda);
    Tape tape(parameters, tape_options(Backend::cuda, Precision::fp32, Mode::train));
    const Net net{&tape, ""};
    const auto tensor = [&](const char* name) { return net.resident(shape, DType::f32, name); };
    const Tensor x = tensor("x"), z = tensor("z"), read = tensor("read"), other = tensor("other"),
                 needs = tensor("needs");
    net.record(copy_forward, in(x), out(read));
    tape.steps.back().beside = true;
    net.record(copy_forward, in(z), out(other));
    // The first has to wait for `read`, the second must not touch x before.
    if (attempt % 2 == 0) net.record(copy_forward, in(read), out(needs));
    net.record(copy_forward, in(z), out(x));
    Arena arena(Backend::cuda);
    Plan plan(tape, arena);
    CHECK(plan.report().find("  1 filter gradients run beside") != std::string::npos);
    plan.bind();
    Stream stream = fjord::stream(Backend::cuda);
    device(Backend::cuda).fill(arena.data(), 0, plan.arena_bytes(), stream);
    device(Backend::cuda).fill(x.slot->data, 1, x.slot->bytes(), stream);
    plan.enqueue();
    const auto first_byte = [&](Tensor t) {
      std::uint8_t byte = 0xFF;
      device(Backend::cuda).download(&byte, t.slot->data, 1, stream);
      return int{byte};
    };
    CHECK(first_byte(read) == 1);
    CHECK(first_byte(needs) == (attempt % 2 == 0 ? 1 : 0));
    CHECK(first_byte(x) == 0);
  }
}

TEST_CASE("--check under fp16 lets gradients overflow: the update is skipped") {
  enable_backends();
  TrainerOptions checked = toy_options(Backend::cuda, Precision::fp16);
  checked.plan.check = true;
  Toy cuda(checked);
  UpdateState state = cuda.trainer.optimizer().progress();
  state.loss_scale = 0x1p40f;
  cuda.trainer.optimizer().set_progress(state);
  cuda.fill(0);
  CHECK(cuda.trainer.step(1e-2).skipped);
  cuda.fill(0);
  cuda.trainer.images()[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(cuda.trainer.step(1e-2), doctest::Contains("error[E-nonfinite]"), Error);
}

// Masks are checked when they are read; what got past that must not trap the card's context.
TEST_CASE("labels beyond the classes count for nothing, and the card goes on") {
  enable_backends();
  struct Kind {
    int classes;
    const char* loss;
  };
  for (const Kind& kind :
       {Kind{1, "0.5*dice+0.5*bce"}, Kind{1, "focal"}, Kind{3, "0.5*lovasz+0.5*softce"}}) {
    CAPTURE(kind.loss);
    TrainerOptions cpu_options = toy_options(Backend::cpu),
                   cuda_options = toy_options(Backend::cuda);
    cpu_options.loss = cuda_options.loss = parse_loss(kind.loss);
    cpu_options.classes = cuda_options.classes = kind.classes;
    Toy cpu(cpu_options), cuda(cuda_options);
    for (int number = 0; number < 3; ++number) {
      for (Toy* toy : {&cpu, &cuda}) {
        toy->fill(number);
        for (int i = 0; i < 50; ++i)
          toy->trainer.labels()[i * 7] = static_cast<std::uint8_t>(200 + i);
      }
      const double wanted = cpu.trainer.step(1e-2).loss, found = cuda.trainer.step(1e-2).loss;
      CHECK(found == doctest::Approx(wanted).epsilon(1e-4));
    }
    CHECK(cuda.step(5) == doctest::Approx(cpu.step(5)).epsilon(1e-4));
  }
}
