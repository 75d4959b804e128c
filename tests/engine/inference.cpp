// Inference with folded normalisation and kept filters: the same values as the plain composition,
// and never those of older weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/evaluator.h"
#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "tests/reference/reference.h"
#include "toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

// Blocks as those of the toy, wide enough for Winograd, narrow enough for a direct convolution, of
// exactly twice the size and not; 3x3, 1x1 and depthwise layers with activations that normalisation
// does not apply.
Model blocks(int channels) {
  return [channels](Net net, Tensor image) {
    const Conv2dOptions same{.channels = channels}, down{.channels = channels, .stride = 2};
    const Conv2dOptions point{.channels = channels, .kernel = 1, .padding = 0},
        each{.channels = channels, .groups = channels};
    Tensor x = conv_bn_act(net / "stem", image, {.conv = same});
    Tensor low = conv_bn_act(net / "down", x, {.conv = down, .act = Act::none});
    ConvBnAct residual{.conv = same};
    residual.residual = low;
    low = conv_bn_act(net / "low", low, residual);
    low = conv_bn_act(net / "same", low, {.conv = same, .act = Act::silu});
    low = conv_bn_act(net / "point", low, {.conv = point, .act = Act::silu});
    low = conv_bn_act(net / "each", low, {.conv = each, .act = Act::relu6});
    low = batch_norm(net / "norm", low, {.act = Act::relu});
    Tensor up = upsample_concat(net / "up", low, x);
    up = conv_bn_act(net / "fuse", up, {.conv = same});
    up = conv2d(net / "bare", upsample(net, up, 2 * up.h(), 2 * up.w()), same);
    return conv2d(net / "head", up, {.channels = 2, .bias = true});
  };
}

// Values of a fresh normalisation would fold to nothing.
void stir(Parameters& parameters) {
  std::uint64_t key = 0;
  for (Parameter& p : parameters.all()) {
    if (p.role == Role::counter) continue;
    std::vector<float> values = parameters.file_values(p);
    const bool spread = p.name.ends_with("running_var") || p.name.ends_with("1.weight");
    for (float& value : values) {
      const RandomWords words =
          Philox{3}.draw(Draw::scene, 0, static_cast<std::uint32_t>(++key), 0);
      const double by = fjord::uniform(words[0], -0.5, 0.5);
      value = static_cast<float>(spread ? value + by : p.filter ? value : by);
    }
    parameters.set_file_values(p, values);
  }
}

struct Made {
  explicit Made(Model model, DType dtype = DType::f32)
      : model(std::move(model)), parameters(dtype) {
    declare_parameters(parameters, this->model, 3, 5);
    stir(parameters);
  }
  Model model;
  Parameters parameters;
};

// What the model says of an image of waves.
template <class T>
std::vector<double> logits(Made& made, TapeOptions options, Shape shape) {
  options.mode = Mode::eval;
  options.dtype = made.parameters.dtype;
  Tape tape(made.parameters, options);
  const Net net{&tape, ""};
  const Tensor image = net.resident(shape, options.dtype, "image");
  const Tensor y = net.materialize(made.model(net, image));
  y.slot->kind = Kind::resident;
  Arena arena;
  Plan plan(tape, arena, {.poison = true});
  plan.bind();
  for (std::int64_t i = 0; i < shape.count(); ++i)
    static_cast<T*>(image.slot->data)[i] = static_cast<T>(std::sin(0.7 * static_cast<double>(i)));
  plan.run();
  if (options.inference == FilterMemory::normal) plan.run();  // with filters that the first left
  const T* values = static_cast<const T*>(y.slot->data);
  return {values, values + y.shape().count()};
}

// Relative to the values' root mean square.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    squares += b[i] * b[i];
  }
  return std::sqrt(difference / squares);
}

template <class T>
double fused_against_plain(int channels, TapeOptions options, FilterMemory memory, Shape shape) {
  Made made(blocks(channels), sizeof(T) == 8 ? DType::f64 : DType::f32);
  const std::vector<double> plain = logits<T>(made, options, shape);
  options.inference = memory;
  return distance(logits<T>(made, options, shape), plain);
}

constexpr Shape kImages[] = {{2, 14, 10, 3}, {1, 9, 13, 3}};

std::vector<float> prediction(Evaluator& evaluator, Shape shape) {
  std::vector<float> image(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = std::sin(0.3f * static_cast<float>(i));
  const float* logits = evaluator.predict(shape, image.data());
  return {logits, logits + shape.pixels()};
}

// An evaluator that has run before a change and one made after it agree. The first is gone by then:
// with it go the filters that the second would share.
template <class Change>
void follows(Trainer& trainer, Parameters& parameters, const Change& change) {
  const Shape shape = kToyBatch;
  Arena arena;
  std::vector<float> before, after;
  {
    Evaluator old(toy_model(), parameters, arena, Backend::cpu, {});
    before = prediction(old, shape);
    change(trainer);
    after = prediction(old, shape);
  }
  Evaluator fresh(toy_model(), parameters, arena, Backend::cpu, {});
  CHECK(after == prediction(fresh, shape));
  CHECK(after != before);
}

}  // namespace

TEST_CASE("inference equals the plain composition: reference backend, double") {
  enable_reference_kernels();
  for (const Shape image : kImages)
    CHECK(fused_against_plain<double>(4, {.backend = Backend::reference}, FilterMemory::normal,
                                      image) <= 1e-12);
}

TEST_CASE("inference equals the plain composition: cpu backend, float") {
  enable_cpu_kernels();
  for (const int channels : {4, 16, 32})
    for (const ConvAlgorithm algorithm : {ConvAlgorithm::any, ConvAlgorithm::direct})
      for (const FilterMemory memory : {FilterMemory::normal, FilterMemory::low})
        for (const Shape image : kImages) {
          CAPTURE(channels);
          CHECK(fused_against_plain<float>(channels, {.algorithm = algorithm}, memory, image) <=
                1e-6);
        }
}

TEST_CASE("products of bf16: close to float's, the same bits with other threads and memory") {
  enable_cpu_kernels();
  if (!cpu_has_bf16()) {
    MESSAGE("skipped: this CPU does not multiply bf16");
    return;
  }
  Made made(blocks(32));
  TapeOptions options{.mode = Mode::eval, .inference = FilterMemory::normal};
  const std::vector<double> exact = logits<float>(made, options, kImages[0]);
  options.math = ConvMath::bf16;
  const std::vector<double> rounded = logits<float>(made, options, kImages[0]);
  CHECK(distance(rounded, exact) > 1e-4);  // they are rounded
  CHECK(distance(rounded, exact) < 4e-2);  // some 1e-2 a layer
  options.inference = FilterMemory::low;
  const int before = threads();
  set_threads(3);
  CHECK(logits<float>(made, options, kImages[0]) == rounded);
  set_threads(before);
}

TEST_CASE("inference of one model: one step a layer, filters shared by sizes, the same bits") {
  enable_cpu_kernels();
  Made made(blocks(32));
  TapeOptions options{.mode = Mode::eval, .inference = FilterMemory::normal};
  Tape tape(made.parameters, options);
  const Net net{&tape, ""};
  made.model(net, net.resident(kImages[0], DType::f32, "image"));
  CHECK(std::ranges::count_if(tape.steps, [](const Step& step) {
          return std::string_view(step.op) != "conv_inference";
        }) == 2);  // the normalisation that follows no convolution, SiLU behind Winograd's
  CHECK_THROWS_AS(net.backward(), Error);

  {
    Arena arena;
    Evaluator evaluator(made.model, made.parameters, arena, Backend::cpu, {});
    prediction(evaluator, {1, 16, 16, 3});
    const std::size_t kept = made.parameters.kept().bytes();
    CHECK(kept > 0);
    prediction(evaluator, {1, 16, 20, 3});
    CHECK(made.parameters.kept().bytes() == kept);
  }

  const std::vector<double> normal = logits<float>(made, options, kImages[0]);
  options.inference = FilterMemory::low;
  CHECK(logits<float>(made, options, kImages[0]) == normal);
  const int before = threads();
  for (const int count : {1, 3}) {
    set_threads(count);
    options.inference = FilterMemory::normal;
    CHECK(logits<float>(made, options, kImages[0]) == normal);
  }
  set_threads(before);
}

TEST_CASE("an evaluator follows the weights") {
  enable_cpu_kernels();
  TrainerOptions options = toy_options();
  options.optimizer.average = Ema{};
  Parameters parameters;
  Trainer trainer(toy_model(), parameters, options);
  Waves waves(kToyBatch, 8);
  waves.start(0, 0);
  const auto step = [&](Trainer& t) {
    t.fill(waves);
    t.step(1e-2);
  };
  step(trainer);
  follows(trainer, parameters, step);
  follows(trainer, parameters, [](Trainer& t) { t.optimizer().exchange_average(); });
  follows(trainer, parameters, [&](Trainer&) { stir(parameters); });
}
