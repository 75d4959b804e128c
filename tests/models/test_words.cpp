// A fused word means its plain composition: values and gradients agree.
#include <doctest/doctest.h>

#include <functional>

#include "kernels/cpu/backend.h"
#include "kernels/pointwise.h"
#include "tests/golden/model_run.h"
#include "tests/reference/reference.h"

namespace fjord {

namespace {

using Word = std::function<Tensor(Net, Tensor x, Tensor residual)>;

const Word fused = [](Net net, Tensor x, Tensor residual) {
  return conv_bn_act(net, x, {.conv = {.channels = 5, .stride = 2}, .residual = residual});
};
const Word plain = [](Net net, Tensor x, Tensor residual) {
  const Tensor raw = conv2d(net / "0", x, {.channels = 5, .stride = 2});
  return relu(net, add(net, batch_norm(net / "1", raw), residual));
};

/// The word between two convolutions, so that its input and its residual have gradients.
struct Sandwich {
  Sandwich(Parameters& parameters, const Word& word, TapeOptions options)
      : tape(parameters, options) {
    const Net net{&tape, ""};
    image = net.resident({2, 9, 7, 3}, options.dtype, "image");
    seed = net.resident({2, 5, 4, 2}, options.dtype, "seed");
    result = net.resident({2, 5, 4, 2}, options.dtype, "result");
    const Tensor x = conv2d(net / "before", image, {.channels = 4});
    const Tensor residual = conv2d(net / "aside", image, {.channels = 5, .stride = 2});
    const Tensor y = conv2d(net / "after", word(net / "word", x, residual), {.channels = 2});
    net.record(copy_forward, in(y), out(result));
    if (options.mode == Mode::train) {
      net.record(copy_forward, in(seed), net.grad_sink(y));
      net.backward();
    }
  }

  Tape tape;
  Tensor image, seed, result;
};

template <class T>
void fill(Tensor tensor, const char* stream) {
  const auto values = golden::tensor(stream, tensor.shape());
  std::copy(values.begin(), values.end(), static_cast<T*>(tensor.slot->data));
}

struct Outcome {
  std::vector<double> result;
  std::map<std::string, std::vector<double>> gradients;
};

template <class T>
Outcome outcome(const Word& word, TapeOptions options) {
  Parameters parameters(options.dtype);
  Sandwich sandwich(parameters, word, options);
  parameters.allocate();
  parameters.initialize(1);
  Arena arena;
  Plan plan(sandwich.tape, arena);
  plan.bind();
  fill<T>(sandwich.image, "image");
  fill<T>(sandwich.seed, "seed");
  plan.run();
  Outcome found{golden::values(*sandwich.result.slot), {}};
  for (const Parameter& p : parameters.all())
    if (p.role == Role::weight) found.gradients[p.name] = golden::values(p.gradient);
  return found;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

template <class T>
void hold_together(TapeOptions options, double bound) {
  const Outcome word = outcome<T>(fused, options), composition = outcome<T>(plain, options);
  CHECK(distance(word.result, composition.result) <= bound);
  REQUIRE(word.gradients.size() == composition.gradients.size());
  for (const auto& [name, gradient] : composition.gradients)
    CHECK_MESSAGE(distance(word.gradients.at(name), gradient) <= bound, name);
}

}  // namespace

TEST_CASE("conv_bn_act is convolution, batch norm, sum and activation") {
  enable_cpu_kernels();
  enable_reference_kernels();
  for (Mode mode : {Mode::train, Mode::eval}) {
    // Rounding of one pass against three: nothing in double, a few ulp of float on the CPU.
    hold_together<double>({Backend::reference, DType::f64, mode}, 1e-13);
    hold_together<float>({Backend::cpu, DType::f32, mode}, 2e-6);
  }
}

}  // namespace fjord
