// The words that encoders and decoders are made of, each between two convolutions: gradients
// against finite differences in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/pointwise.h"
#include "tests/golden/model_run.h"
#include "tests/reference/reference.h"

namespace fjord {

namespace {

using Word = std::function<Tensor(Net, Tensor x)>;
struct NamedWord {
  const char* name;
  Word word;
};

const std::vector<NamedWord> kWords = {
    {"relu6", [](Net net, Tensor x) { return activate(net, x, Act::relu6); }},
    {"silu", [](Net net, Tensor x) { return activate(net, x, Act::silu); }},
    {"sigmoid", [](Net net, Tensor x) { return activate(net, x, Act::sigmoid); }},
    {"norm and silu", [](Net net, Tensor x) { return batch_norm(net, x, {.act = Act::silu}); }},
    {"instance norm and relu",
     [](Net net, Tensor x) { return instance_norm(net, x, {.act = Act::relu}); }},
    {"linear",
     [](Net net, Tensor x) { return linear(net, channel_means(net, x), {.channels = 3}); }},
    {"channel_means", [](Net net, Tensor x) { return channel_means(net, x); }},
    {"scale_channels",
     [](Net net, Tensor x) { return scale_channels(net, x, channel_means(net, x)); }},
    {"scale_pixels",
     [](Net net, Tensor x) {
       return scale_pixels(net, x, conv2d(net / "s", x, {.channels = 1, .kernel = 1}));
     }},
    {"fold_channels", [](Net net, Tensor x) { return fold_channels(net, x, 2); }},
    {"split_softmax",
     [](Net net, Tensor x) {
       return split_softmax(net, x, {2, 2});
     }},
    {"pad",
     [](Net net, Tensor x) {
       return pad(net, x, {1, 2, 0, 1});
     }},
    {"avg_pool",
     [](Net net, Tensor x) {
       return avg_pool(net, x, {{.kernel = 2, .stride = 2, .padding = 0, .ceil = true}, false});
     }},
    {"max_pool with a last window that leaves the image",
     [](Net net, Tensor x) {
       return max_pool(net, x, {.kernel = 3, .stride = 2, .padding = 0, .ceil = true});
     }},
    {"matrix_multiply and transposed",
     [](Net net, Tensor x) {
       const Tensor pairs = matrix_multiply(
           net, x, conv2d(net / "b", x, {.channels = 8}),
           {.rows = 30, .columns = 30, .inner = 8, .transpose_b = true}, {2, 1, 30, 30});
       return transposed(
           net, matrix_multiply(net, pairs, x, {.rows = 30, .columns = 8, .inner = 30}, x.shape()),
           8);
     }},
    {"resize", [](Net net, Tensor x) { return resize(net, x, 9, 7, Interpolation::bicubic); }},
    {"conv_transpose2d",
     [](Net net, Tensor x) {
       return conv_transpose2d(
           net, x, {.channels = 3, .kernel = 4, .stride = 2, .padding = 1, .bias = true});
     }},
    {"conv_transpose2d twice of one tensor",
     [](Net net, Tensor x) {
       const Conv2dOptions up{.channels = 3, .kernel = 4, .stride = 2, .padding = 1};
       return add(net, conv_transpose2d(net / "a", x, up), conv_transpose2d(net / "b", x, up));
     }},
};

/// The sum of result * seed, recorded with its gradient.
struct Sandwich {
  explicit Sandwich(const Word& word)
      : parameters(DType::f64), tape(parameters, {Backend::reference, DType::f64, Mode::train}) {
    const Net net{&tape, ""};
    image = net.resident({2, 5, 6, 3}, DType::f64, "image");
    const Tensor y =
        conv2d(net / "after", word(net / "word", conv2d(net / "before", image, {.channels = 8})),
               {.channels = 2, .kernel = 1});
    seed = net.resident(y.shape(), DType::f64, "seed");
    result = net.resident(y.shape(), DType::f64, "result");
    net.record(copy_forward, in(y), out(result));
    net.record(copy_forward, in(seed), net.grad_sink(y));
    net.backward();
    parameters.allocate();
    parameters.initialize(1);
    plan.emplace(tape, arena);
    plan->bind();
    fill(image, "image");
    fill(seed, "seed");
  }

  static void fill(Tensor tensor, const char* stream) {
    const auto values = golden::tensor(stream, tensor.shape());
    std::copy(values.begin(), values.end(), static_cast<double*>(tensor.slot->data));
  }
  double sum() {
    plan->run();
    const auto found = golden::values(*result.slot), weights = golden::values(*seed.slot);
    double total = 0;
    for (std::size_t i = 0; i < found.size(); ++i) total += found[i] * weights[i];
    return total;
  }

  Parameters parameters;
  Tape tape;
  Arena arena;
  Tensor image, seed, result;
  std::optional<Plan> plan;
};

/// |finite difference - gradient| of one weight.
double gradient_error(Sandwich& s, Parameter& p, std::int64_t i) {
  constexpr double h = 1e-6;
  auto* weight = static_cast<double*>(p.value.data) + i;
  s.plan->run();
  const double gradient = golden::values(p.gradient).at(static_cast<std::size_t>(i));
  const double before = *weight;
  *weight = before + h;
  const double above = s.sum();
  *weight = before - h;
  const double below = s.sum();
  *weight = before;
  return std::fabs((above - below) / (2 * h) - gradient) / std::fmax(1, std::fabs(gradient));
}

}  // namespace

TEST_CASE("the gradient of every word is its derivative") {
  enable_reference_kernels();
  for (const NamedWord& word : kWords) {
    Sandwich sandwich(word.word);
    for (Parameter& p : sandwich.parameters.all()) {
      if (p.role != Role::weight) continue;
      REQUIRE(p.trained);
      for (std::int64_t i = 0; i < p.count(); i += std::max<std::int64_t>(1, p.count() / 7))
        CHECK_MESSAGE(gradient_error(sandwich, p, i) < 1e-6, word.name << " " << p.name);
    }
  }
}

TEST_CASE("stochastic depth keeps a share of the samples, and others every step") {
  enable_reference_kernels();
  Parameters parameters(DType::f64);
  Tape tape(parameters, {Backend::reference, DType::f64, Mode::train});
  const Net net{&tape, ""};
  const Tensor x = net.resident({4000, 1, 1, 2}, DType::f64, "x");
  const Tensor steps = net.counter("num_batches_tracked");
  const Tensor y = drop_path(net, x, steps, 0.25);
  const Tensor result = net.resident(x.shape(), DType::f64, "result");
  net.record(copy_forward, in(y), out(result));
  CHECK(drop_path(net.freeze(), x, steps, 0.25).slot == x.slot);
  parameters.allocate();
  parameters.initialize(1);
  Arena arena;
  Plan plan(tape, arena);
  plan.bind();
  std::fill_n(static_cast<double*>(x.slot->data), x.shape().count(), 1.0);
  std::vector<double> first;
  for (const std::int64_t step : {1, 2, 1}) {
    parameters.set_count(parameters.all().front(), step);
    plan.run();
    const auto kept = golden::values(*result.slot);
    double samples = 0;
    for (std::size_t i = 0; i < kept.size(); i += 2) {
      REQUIRE(kept[i] == kept[i + 1]);  // a sample's channels go together
      REQUIRE((kept[i] == 0 || kept[i] == 1 / 0.75));
      samples += kept[i] > 0;
    }
    CHECK(std::fabs(samples / 4000 - 0.75) < 4 * std::sqrt(0.75 * 0.25 / 4000));
    if (first.empty())
      first = kept;
    else
      CHECK((kept == first) == (step == 1));
  }
}

TEST_CASE("dropout draws for each value") {
  enable_reference_kernels();
  Parameters parameters(DType::f64);
  Tape tape(parameters, {Backend::reference, DType::f64, Mode::train});
  const Net net{&tape, ""};
  const Tensor x = net.resident({2, 1, 1, 4000}, DType::f64, "x");
  const Tensor y = dropout(net, x, net.counter("num_batches_tracked"), 0.5);
  const Tensor result = net.resident(x.shape(), DType::f64, "result");
  net.record(copy_forward, in(y), out(result));
  parameters.allocate();
  parameters.initialize(1);
  Arena arena;
  Plan plan(tape, arena);
  plan.bind();
  std::fill_n(static_cast<double*>(x.slot->data), x.shape().count(), 1.0);
  plan.run();
  const auto kept = golden::values(*result.slot);
  const auto zeros = static_cast<double>(std::count(kept.begin(), kept.end(), 0.0));
  CHECK(static_cast<double>(std::count(kept.begin(), kept.end(), 2.0)) == 8000 - zeros);
  CHECK(std::fabs(zeros / 8000 - 0.5) < 4 * std::sqrt(0.25 / 8000));
  CHECK(!std::equal(kept.begin(), kept.begin() + 4000, kept.begin() + 4000));
}

}  // namespace fjord
