// The CUDA backend's training step on the emulated card equals the CPU's: recorded, planned,
// captured and replayed as on a real one.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "engine/training_step.h"
#include "tests/cuda/step/twins.h"

using namespace fjord;
using namespace fjord::test;

namespace {

constexpr const char* kBinary = "0.5*dice+0.5*bce";
constexpr const char* kClasses = "0.5*lovasz+0.5*softce(smooth=0.1)";
constexpr int kSteps = 5;

double rate(OptimizerKind kind) { return kind == OptimizerKind::sgd ? 1e-4 : 1e-3; }

struct Case {
  std::string name;
  TwinOptions options;
  bool daily = false;
};

// Every product of encoder, loss and optimizer.
std::vector<Case> cases() {
  std::vector<Case> list;
  for (const char* encoder : {"resnet18", "resnet34"})
    for (const int classes : {1, 3})
      for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd}) {
        const bool binary = classes == 1, adamw = optimizer == OptimizerKind::adamw;
        list.push_back(
            {fmt::format("{}, {}, {}", encoder, binary ? "dice + bce" : "lovasz + softce",
                         adamw ? "adamw" : "sgd"),
             {encoder, classes, binary ? kBinary : kClasses, optimizer},
             encoder == std::string_view("resnet18") ? !binary && !adamw : binary && adamw});
      }
  return list;
}

/// The products that this run takes: two a day, by FJORD_STEPS=all all of them, or one by its name.
std::vector<Case> chosen_cases() {
  const char* chosen = std::getenv("FJORD_STEPS");
  if (!chosen) MESSAGE("SKIPPED: six of the eight products (FJORD_STEPS=all runs them)");
  std::vector<Case> list = cases();
  std::erase_if(list, [&](const Case& one) {
    return chosen ? chosen != std::string_view("all") && one.name != chosen : !one.daily;
  });
  REQUIRE_MESSAGE(!list.empty(),
                  "FJORD_STEPS names no product: ", std::string(chosen ? chosen : ""));
  return list;
}

/// The larger one; not a number wins.
double worse(double a, double b) { return !(b <= a) ? b : a; }

/// One step of each from the CPU's state; what they differ by.
struct Difference {
  double loss = 0, wanted = 0;
  Worst gradients;
};

Difference step_from_same_state(Twin& cpu, Twin& cuda, const TwinOptions& options, int number) {
  cuda.take_state(cpu);
  fill_batch(cpu, options.classes, number);
  fill_batch(cuda, options.classes, number);
  const double lr = rate(options.optimizer);
  const double wanted = cpu.trainer->step(lr).loss, found = cuda.trainer->step(lr).loss;
  return {std::fabs(found - wanted) / wanted, wanted, gradient_distance(cuda, cpu)};
}

/// The largest difference of the losses of steps that nobody corrects.
double free_steps(Twin& cpu, Twin& cuda, const TwinOptions& options) {
  cuda.take_state(cpu);
  double worst = 0;
  for (int number = 0; number < kSteps; ++number) {
    fill_batch(cpu, options.classes, number);
    fill_batch(cuda, options.classes, number);
    const double lr = rate(options.optimizer);
    const double wanted = cpu.trainer->step(lr).loss, found = cuda.trainer->step(lr).loss;
    worst = worse(worst, std::fabs(found - wanted) / wanted);
  }
  return worst;
}

}  // namespace

TEST_CASE("the step's own augmentation: images and labels have the bits of the CPU's") {
  enable_backends();
  constexpr int classes = 3;
  const ModelOptions unet{.encoder = "resnet18", .in_channels = 3, .classes = classes};
  const Model model = [&](Net net, Tensor image) { return build_model(net, image, unet); };
  TrainerOptions options;
  options.image = kBatch;
  options.classes = classes;
  LossExpression loss = parse_loss(kClasses);
  loss.ignore = 255;
  options.loss = loss;
  options.backend = Backend::cuda;
  options.plan.check = true;  // each tensor keeps its memory
  options.raw = SceneBatches::raw_images(classes);
  Parameters parameters;
  declare_parameters(parameters, model, 3, 1, Backend::cuda);
  TrainingStep step(model, parameters, options);
  SceneBatches raw(classes, 0), ready(classes, 0);
  std::vector<float> found(kBatch.count()), wanted(kBatch.count());
  std::vector<std::uint8_t> found_labels(kBatch.pixels()), wanted_labels(kBatch.pixels());
  for (int number = 0; number < 3; ++number) {
    step.fill(raw);
    step.enqueue(1e-3);
    step.take(true);
    ready.next(wanted.data(), wanted_labels.data());
    Stream stream = fjord::stream(Backend::cuda);
    const Slot &image = *step.tensors().image.slot, &label = *step.tensors().label.slot;
    device(Backend::cuda).download(found.data(), image.data, image.bytes(), stream);
    device(Backend::cuda).download(found_labels.data(), label.data, label.bytes(), stream);
    CHECK(std::memcmp(found.data(), wanted.data(), image.bytes()) == 0);
    CHECK(found_labels == wanted_labels);
  }
}

TEST_CASE("fp32: five free steps, then five that start from the CPU's state") {
  enable_backends();
  for (const Case& one : chosen_cases()) {
    Twin cpu(one.options, Backend::cpu, Precision::fp32);
    Twin cuda(one.options, Backend::cuda, Precision::fp32);
    const double free = free_steps(cpu, cuda, one.options);
    Difference worst;
    std::vector<double> losses;
    for (int number = 0; number < kSteps; ++number) {
      const Difference now = step_from_same_state(cpu, cuda, one.options, number);
      losses.push_back(now.wanted);
      worst.loss = worse(worst.loss, now.loss);
      if (!(now.gradients.distance <= worst.gradients.distance)) worst.gradients = now.gradients;
    }
    MESSAGE(one.name, ": loss ", worst.loss, ", gradients ", worst.gradients.distance, " (",
            worst.gradients.tensor, "), free ", free, "; losses ",
            fmt::format("{:.6g}", fmt::join(losses, " ")));
    CHECK(worst.loss <= 1e-5);
    CHECK(worst.gradients.distance <= 5e-2);
    CHECK(free <= (one.options.optimizer == OptimizerKind::sgd ? 1e-4 : 2e-2));
  }
}

TEST_CASE("bf16: losses within 3e-2 of the CPU's") {
  enable_backends();
  for (const Case& one : chosen_cases()) {
    Twin cpu(one.options, Backend::cpu, Precision::fp32);
    Twin cuda(one.options, Backend::cuda, Precision::bf16);
    const double worst = free_steps(cpu, cuda, one.options);
    MESSAGE(one.name, ": five free steps ", worst);
    CHECK(worst <= 3e-2);
  }
}
