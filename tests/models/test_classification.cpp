// The classification head: what its scores are, and what trains it.
#include <doctest/doctest.h>

#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"
#include "tests/reference/reference.h"

namespace fjord {

namespace {

constexpr int kClasses = 3;

ModelOptions with_head(Pooling pooling) {
  return {
      .encoder = "resnet18",
      .classification = ClassificationHead{.classes = kClasses, .pooling = pooling, .dropout = 0}};
}

/// A model whose masks and scores both have a loss, in double.
struct Run {
  explicit Run(Pooling pooling)
      : parameters(DType::f64), tape(parameters, {Backend::reference, DType::f64, Mode::train}) {
    const Net net{&tape, ""};
    image = net.resident({2, 32, 64, 3}, DType::f64, "image");
    masks = net.resident({2, 32, 64, 1}, DType::u8, "masks");
    labels = net.resident({2, 1, 1, 1}, DType::u8, "labels");
    const auto [logits, scores] = build_model_and_scores(net, image, with_head(pooling));
    CHECK(scores.shape() == Shape{2, 1, 1, kClasses});
    loss(net / "masks", logits, masks, parse_loss("bce"));
    label_loss = loss(net / "labels", scores, labels, parse_loss("softce"));
    net.backward();
    parameters.allocate();
    parameters.initialize(5);
    plan.emplace(tape, arena);
    plan->bind();
    const auto pixels = golden::tensor("input", image.shape());
    std::ranges::copy(pixels, static_cast<double*>(image.slot->data));
    std::fill_n(static_cast<std::uint8_t*>(masks.slot->data), masks.shape().count(), 1);
    static_cast<std::uint8_t*>(labels.slot->data)[0] = 0;
    static_cast<std::uint8_t*>(labels.slot->data)[1] = 2;
  }

  double run() {
    plan->run();
    return golden::values(*label_loss.slot).at(0);
  }

  Parameters parameters;
  Tape tape;
  Arena arena;
  Tensor image, masks, labels, label_loss;
  std::optional<Plan> plan;
};

}  // namespace

TEST_CASE("a loss of the scores trains the head, by its derivative") {
  enable_reference_kernels();
  for (const Pooling pooling : {Pooling::avg, Pooling::max}) {
    Run run(pooling);
    Parameter& weight = *run.parameters.find("classification_head.3.weight");
    CHECK(weight.file_shape() == std::vector<std::int64_t>{kClasses, 512});
    REQUIRE(weight.trained);
    run.run();
    for (const std::int64_t i : {0, 700, 1535}) {
      auto& value = static_cast<double*>(weight.value.data)[i];
      const double gradient = golden::values(weight.gradient).at(static_cast<std::size_t>(i));
      const double before = value, h = 1e-5;
      value = before + h;
      const double above = run.run();
      value = before - h;
      const double below = run.run();
      value = before;
      CHECK(std::fabs((above - below) / (2 * h) - gradient) < 1e-8);
      run.run();
    }
  }
}

TEST_CASE("without a loss of the scores the head keeps its place and stays as it is") {
  Parameters parameters;
  Tape tape(parameters, {.mode = Mode::train});
  const Net net{&tape, ""};
  enable_cpu_kernels();
  const Tensor image = net.resident({2, 32, 32, 3}, DType::f32, "image");
  const Tensor logits = build_model(net, image, with_head(Pooling::max));
  const Tensor masks = net.resident({2, 32, 32, 1}, DType::u8, "masks");
  loss(net, logits, masks, parse_loss("bce"));
  net.backward();
  CHECK(parameters.all().back().name == "classification_head.3.bias");
  CHECK_FALSE(parameters.all().back().trained);
  CHECK(parameters.all().front().trained);
}

}  // namespace fjord
