// The CUDA backend's training step on the emulated card equals the CPU's: recorded, planned,
// captured and replayed as on a real one.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "tests/cuda/step/twins.h"

using namespace fjord;
using namespace fjord::test;

namespace {

constexpr const char* kBinary = "0.5*dice+0.5*bce";
constexpr const char* kClasses = "0.5*lovasz+0.5*softce(smooth=0.1)";
constexpr int kSteps = 5;

double rate(OptimizerKind kind) { return kind == OptimizerKind::sgd ? 1e-4 : 1e-3; }

struct Case {
  const char* name;
  TwinOptions options;
};

// Each loss, optimizer and encoder beside each other: all pairs, not all eight of their products.
const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {"resnet18, dice + bce, adamw", {"resnet18", 1, kBinary, OptimizerKind::adamw}},
      {"resnet18, lovasz + softce, sgd", {"resnet18", 3, kClasses, OptimizerKind::sgd}},
      {"resnet34, lovasz + softce, adamw", {"resnet34", 3, kClasses, OptimizerKind::adamw}},
      {"resnet34, dice + bce, sgd", {"resnet34", 1, kBinary, OptimizerKind::sgd}},
  };
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

TEST_CASE("fp32: five free steps, then five that start from the CPU's state") {
  enable_backends();
  const bool all = std::getenv("FJORD_STEPS") != nullptr;
  if (!all) MESSAGE("SKIPPED: the first and the last pair (FJORD_STEPS=all runs them)");
  for (const Case& one : cases()) {
    if (!all && (&one == &cases().front() || &one == &cases().back())) continue;
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
    MESSAGE(std::string(one.name), ": loss ", worst.loss, ", gradients ", worst.gradients.distance,
            " (", worst.gradients.tensor, "), free ", free, "; losses ",
            fmt::format("{:.6g}", fmt::join(losses, " ")));
    CHECK(worst.loss <= 1e-5);
    CHECK(worst.gradients.distance <= 5e-2);
    CHECK(free <= (one.options.optimizer == OptimizerKind::sgd ? 1e-4 : 2e-2));
  }
}

TEST_CASE("bf16: losses within 3e-2 of the CPU's") {
  enable_backends();
  const TwinOptions options;
  Twin cpu(options, Backend::cpu, Precision::fp32), cuda(options, Backend::cuda, Precision::bf16);
  const double worst = free_steps(cpu, cuda, options);
  MESSAGE("five free steps: ", worst);
  CHECK(worst <= 3e-2);
}
