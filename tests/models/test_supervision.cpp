// Deep supervision of UNet++: what its loss is, that its gradient is that loss's, and that no model
// has its heads.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/state_dict.h"
#include "engine/trainer.h"
#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"

namespace fjord {

namespace {

constexpr Shape kImage{2, 64, 64, 3};
constexpr double kWeight = 0.4;

Model supervised(double weight) {
  const ModelOptions options{.arch = "unetplusplus",
                             .encoder = "resnet18",
                             .encoder_depth = 4,
                             .decoder_channels = {64, 32, 16, 8},
                             .deep_supervision = weight};
  return [options](Net net, Tensor image) { return build_model(net, image, options); };
}

TrainerOptions descent() {
  TrainerOptions options{.image = kImage, .loss = parse_loss("0.5*dice+0.5*bce")};
  options.optimizer.kind = OptimizerKind::sgd;
  options.optimizer.weight_decay = 0;
  options.optimizer.sgd.momentum = 0;
  return options;
}

void fill(float* image, std::uint8_t* label) {
  for (std::int64_t i = 0; i < kImage.pixels(); ++i) {
    label[i] = (i % kImage.w) / 16 % 2 == (i / kImage.w) / 16 % 2;
    for (int c = 0; c < 3; ++c)
      image[3 * i + c] =
          static_cast<float>((label[i] ? 0.5 : -0.5) + 0.3 * golden::u("noise", 3 * i + c));
  }
}

std::vector<Trainer::StepResult> steps(Trainer& trainer, std::initializer_list<double> rates) {
  std::vector<Trainer::StepResult> results;
  for (const double lr : rates) {
    fill(trainer.images(), trainer.labels());
    results.push_back(trainer.step(lr));
  }
  return results;
}

// The losses of the mask and of the inner nodes, each by itself.
std::vector<double> single_losses(Parameters& parameters) {
  Tape tape(parameters, tape_options(Backend::cpu, Precision::fp32, Mode::train));
  const Net net{&tape, ""};
  const Tensor image = net.resident(kImage, DType::f32, "image");
  const Tensor label = net.resident({kImage.n, kImage.h, kImage.w, 1}, DType::u8, "label");
  const LossExpression expression = descent().loss.at(0);
  std::vector<Tensor> losses{loss(net, supervised(kWeight)(net, image), label, expression)};
  for (const InnerLogits& inner : tape.inner_logits) {
    CHECK(inner.logits.shape() == Shape{kImage.n, kImage.h, kImage.w, 1});
    losses.push_back(loss(net, inner.logits, label, expression));
  }
  net.backward();
  Arena arena;
  Plan plan(tape, arena, {});
  plan.bind();
  fill(static_cast<float*>(image.slot->data), static_cast<std::uint8_t*>(label.slot->data));
  plan.run();
  std::vector<double> values;
  for (const Tensor& one : losses) values.push_back(golden::values(*one.slot).at(0));
  return values;
}

}  // namespace

TEST_CASE("deep supervision: the mask's loss and a share of every inner node's") {
  enable_cpu_kernels();
  Parameters parameters, same;
  Trainer trainer(supervised(kWeight), parameters, descent());
  declare_parameters(same, supervised(kWeight), 3, 0);
  const std::vector<double> single = single_losses(same);
  // 3 nodes have half the image's size; the deepest row's leads to the mask.
  REQUIRE(single.size() == 3);
  const double shares = std::accumulate(single.begin() + 1, single.end(), 0.0);
  const double rate = 1e-5;
  const auto found = steps(trainer, {rate, 0});
  CHECK(found[0].loss == doctest::Approx(single[0] + kWeight * shares).epsilon(1e-6));
  // To first order; what is left is the loss's curvature.
  const double norm = found[0].gradient_norm.value();
  CHECK((found[0].loss - found[1].loss) / (rate * norm * norm) == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("deep supervision: its heads are in no model file and in no network for inference") {
  enable_cpu_kernels();
  Parameters plain, with;
  declare_parameters(plain, supervised(0), 3, 0);
  declare_parameters(with, supervised(kWeight), 3, 0);
  CHECK(with.all().size() == plain.all().size() + 4);
  const auto names = [](const Parameters& parameters) {
    std::vector<std::string> list;
    for (const TensorSource& tensor : tensor_sources(parameters, "")) list.push_back(tensor.name);
    return list;
  };
  CHECK(names(with) == names(plain));
  CHECK(state_hash(with) == state_hash(plain));

  Tape tape(with, tape_options(Backend::cpu, Precision::fp32, Mode::eval));
  const Net net{&tape, ""};
  supervised(kWeight)(net, net.resident(kImage, DType::f32, "image"));
  CHECK(tape.inner_logits.empty());
}

TEST_CASE("deep supervision of another architecture is refused") {
  try {
    validate({.deep_supervision = 1});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) ==
          "error[E-model-options] --deep-supervision - unet has no nodes of a mask's size inside - "
          "leave it out, or use --arch unetplusplus");
  }
}

}  // namespace fjord
