// The gradient of a small U-Net in training mode against finite differences in double.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/golden/model_run.h"
#include "tests/reference/reference.h"

namespace fjord {

namespace {

golden::RunOptions small_unet() {
  return {.backend = Backend::reference,
          .dtype = DType::f64,
          .mode = Mode::train,
          .model = {.encoder = "resnet18",
                    .in_channels = 2,
                    .classes = 3,
                    .encoder_depth = 3,
                    .decoder_channels = {12, 8, 4}},
          .image = {.n = 2, .h = 13, .w = 18, .c = 2},
          .loss = "0.5*dice+0.5*softce(smooth=0.1)"};
}

double loss_at(golden::ModelRun& run) {
  run.plan->run_forward();
  return golden::values(*run.loss.slot).at(0);
}

/// Along the gradient itself plus an equally long random step: a derivative of |g| + g.r, which
/// is wrong when the length or the direction is.
std::vector<double> direction_of(const Parameter& p, const std::vector<double>& gradient) {
  double squares = 0, random_squares = 0;
  for (double g : gradient) squares += g * g;
  std::vector<double> random = golden::stream(p.name + ".direction", p.count());
  for (double r : random) random_squares += r * r;
  std::vector<double> direction(gradient.size());
  for (std::size_t i = 0; i < direction.size(); ++i)
    direction[i] = gradient[i] / std::sqrt(squares) + random[i] / std::sqrt(random_squares);
  return direction;
}

/// |finite difference - derivative| by the gradient's norm.
double gradient_error(golden::ModelRun& run, Parameter& p, const std::vector<double>& gradient) {
  constexpr double h = 1e-6;
  const std::vector<double> direction = direction_of(p, gradient);
  const std::vector<double> before = golden::values(p.value);
  auto* weight = static_cast<double*>(p.value.data);
  auto loss_moved = [&](double by) {
    for (std::size_t i = 0; i < before.size(); ++i) weight[i] = before[i] + by * direction[i];
    return loss_at(run);
  };
  const double difference = (loss_moved(h) - loss_moved(-h)) / (2 * h);
  std::copy(before.begin(), before.end(), weight);
  double derivative = 0, squares = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    derivative += gradient[i] * direction[i];
    squares += gradient[i] * gradient[i];
  }
  return std::fabs(difference - derivative) / std::sqrt(squares);
}

}  // namespace

TEST_CASE("every parameter's gradient is the loss's derivative") {
  enable_reference_kernels();
  golden::ModelRun run(small_unet());
  run.fill_parameters();
  run.fill_image("input");
  run.fill_label(golden::class_labels("train.target", run.label.shape().count(), 3));
  run.run();
  std::vector<std::vector<double>> gradients;
  for (const Parameter& p : run.parameters.all())
    gradients.push_back(p.trained ? golden::values(p.gradient) : std::vector<double>{});
  std::size_t i = 0, tested = 0;
  for (Parameter& p : run.parameters.all()) {
    const std::vector<double>& gradient = gradients[i++];
    if (!p.trained) continue;
    ++tested;
    // Truncation (h^2) and cancellation (1e-16 / h) of the differences, over the gradient.
    CHECK_MESSAGE(gradient_error(run, p, gradient) < 1e-5, p.name);
  }
  CHECK(tested == 3 + 4 * 6 + 3 + 6 * 3 + 2);  // stem, blocks, one shortcut, decoder, head
}

}  // namespace fjord
