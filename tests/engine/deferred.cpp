// Every producer of a deferred tensor before every consumer, on every backend: the same values and
// gradients as the plain composition, in which each word has memory of its own.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "kernels/cpu/backend.h"
#include "tests/reference/reference.h"
#include "toy.h"

using namespace fjord;

namespace {

// Pooled and enlarged again, the first is another size than before; the second is not, so that
// backends which read through the enlarging do.
constexpr Shape kImages[] = {{2, 6, 5, 3}, {2, 6, 4, 3}};
// Few for the reference; as many as convolutions of the CPU need to be Winograd's, which make
// moments.
int channels = 4;

/// x without anything deferred: a pool of one pixel copies.
Tensor copied(Net net, Tensor x) {
  return max_pool(net, x, {.kernel = 1, .stride = 1, .padding = 0});
}

using Word = std::function<Tensor(Net, Tensor x)>;

struct Producer {
  const char* name;
  Word fused, plain;
};

Tensor conv(Net net, Tensor x) { return conv2d(net, x, {.channels = channels}); }

Tensor fused_block(Net net, Tensor x, Act act, Tensor residual = {}) {
  ConvBnAct block{.conv = {.channels = channels}, .act = act};
  block.residual = residual;
  return conv_bn_act(net, x, block);
}

// Two normalisations with one weight, whose gradients meet; each is read by a convolution.
Tensor shared_norm(Net net, Tensor x, const std::function<Tensor(Net, Tensor)>& of) {
  Tensor first = of(net, batch_norm(net / "n", conv(net / "1", x)));
  Tensor second = of(net, batch_norm(net / "n", conv(net / "2", x)));
  Tensor b = conv(net / "b", second);
  return add(net, conv(net / "a", first), b);
}

Tensor plain_block(Net net, Tensor x, Act act, Tensor residual = {}) {
  Tensor y = copied(net, batch_norm(net / "1", copied(net, conv(net / "0", x))));
  if (residual) y = copied(net, add(net, y, residual));
  return act == Act::relu ? relu(net, y) : y;
}

const std::vector<Producer>& producers() {
  static const std::vector<Producer> list = {
      {"conv_bn_act", [](Net net, Tensor x) { return fused_block(net, x, Act::relu); },
       [](Net net, Tensor x) { return plain_block(net, x, Act::relu); }},
      {"conv_bn", [](Net net, Tensor x) { return fused_block(net, x, Act::none); },
       [](Net net, Tensor x) { return plain_block(net, x, Act::none); }},
      {"conv_bn_act with residual",
       [](Net net, Tensor x) { return fused_block(net, x, Act::relu, conv(net / "r", x)); },
       [](Net net, Tensor x) { return plain_block(net, x, Act::relu, conv(net / "r", x)); }},
      {"conv_bn_act with deferred residual",
       [](Net net, Tensor x) {
         return fused_block(net, x, Act::relu, fused_block(net / "r", x, Act::none));
       },
       [](Net net, Tensor x) {
         return plain_block(net, x, Act::relu, plain_block(net / "r", x, Act::none));
       }},
      {"frozen conv_bn_act",
       [](Net net, Tensor x) { return fused_block(net.freeze(), x, Act::relu); },
       [](Net net, Tensor x) { return plain_block(net.freeze(), x, Act::relu); }},
      {"frozen conv_bn_act with residual",
       [](Net net, Tensor x) {
         return fused_block(net.freeze(), x, Act::relu, conv(net / "r", x));
       },
       [](Net net, Tensor x) {
         return plain_block(net.freeze(), x, Act::relu, conv(net / "r", x));
       }},
      {"two normalisations of one weight",
       [](Net net, Tensor x) { return shared_norm(net, x, [](Net, Tensor y) { return y; }); },
       [](Net net, Tensor x) { return shared_norm(net, x, copied); }},
      {"upsample_concat",
       [](Net net, Tensor x) {
         Tensor low = max_pool(net, conv(net / "a", x), {});
         low = fused_block(net / "b", low, Act::relu);
         return upsample_concat(net, low, conv(net / "c", x));
       },
       [](Net net, Tensor x) {
         Tensor low = max_pool(net, conv(net / "a", x), {});
         low = plain_block(net / "b", low, Act::relu);
         return copied(net, upsample_concat(net, low, conv(net / "c", x)));
       }},
      {"upsample",
       [](Net net, Tensor x) {
         Tensor low = max_pool(net, conv(net / "a", x), {});
         return upsample(net, fused_block(net / "b", low, Act::relu), x.h(), x.w());
       },
       [](Net net, Tensor x) {
         Tensor low = max_pool(net, conv(net / "a", x), {});
         return copied(net, upsample(net, plain_block(net / "b", low, Act::relu), x.h(), x.w()));
       }},
  };
  return list;
}

struct Consumer {
  const char* name;
  Word word;
};

const std::vector<Consumer>& consumers() {
  static const std::vector<Consumer> list = {
      {"conv2d", [](Net net, Tensor x) { return conv(net, x); }},
      {"conv_bn_act", [](Net net, Tensor x) { return fused_block(net, x, Act::relu); }},
      {"batch_norm", [](Net net, Tensor x) { return batch_norm(net, x); }},
      {"relu", [](Net net, Tensor x) { return relu(net, x); }},
      {"add to itself", [](Net net, Tensor x) { return add(net, x, x); }},
      {"max_pool", [](Net net, Tensor x) { return max_pool(net, x, {}); }},
      {"upsample", [](Net net, Tensor x) { return upsample(net, x, 9, 11); }},
      {"upsample_concat as low",
       [](Net net, Tensor x) {
         return upsample_concat(net, x, conv(net / "s", upsample(net, x, 8, 7)));
       }},
      {"upsample_concat as skip",
       [](Net net, Tensor x) { return upsample_concat(net, max_pool(net, x, {}), x); }},
      {"residual",
       [](Net net, Tensor x) {
         ConvBnAct block{.conv = {.channels = static_cast<int>(x.c())}};
         block.residual = x;
         return conv_bn_act(net, x, block);
       }},
      {"two convolutions",
       [](Net net, Tensor x) {
         Tensor a = conv(net / "a", x);
         return add(net, a, conv(net / "b", x));
       }},
  };
  return list;
}

/// Words whose two operands are one tensor, and the same with a copy as the second.
const std::vector<Producer>& words_of_one_tensor() {
  static const std::vector<Producer> list = {
      {"upsample_concat", [](Net net, Tensor x) { return upsample_concat(net, x, x); },
       [](Net net, Tensor x) { return upsample_concat(net, x, copied(net, x)); }},
      {"batch_norm", [](Net net, Tensor x) { return batch_norm(net, x, {.residual = x}); },
       [](Net net, Tensor x) { return batch_norm(net, x, {.residual = copied(net, x)}); }},
      {"frozen batch_norm",
       [](Net net, Tensor x) { return batch_norm(net.freeze(), x, {.residual = x}); },
       [](Net net, Tensor x) { return batch_norm(net.freeze(), x, {.residual = copied(net, x)}); }},
      {"add", [](Net net, Tensor x) { return add(net, x, x); },
       [](Net net, Tensor x) { return add(net, x, copied(net, x)); }},
  };
  return list;
}

/// loss and all gradients of image -> producer -> consumer -> head -> loss.
template <class T>
std::vector<double> outcome(const Word& producer, const Word& consumer, TapeOptions options,
                            Shape image_shape) {
  Parameters parameters(options.dtype);
  Tape tape(parameters, options);
  const Net net{&tape, ""};
  Tensor image = net.resident(image_shape, options.dtype, "image");
  Tensor x = conv2d(net / "before", image, {.channels = channels});
  Tensor y = consumer(net / "consumer", producer(net / "producer", x));
  Tensor logits = conv2d(net / "head", y, {.channels = 1, .kernel = 1, .bias = true});
  Tensor label = net.resident({y.n(), y.h(), y.w(), 1}, DType::u8, "label");
  Tensor loss = fjord::loss(net, logits, label, parse_loss("bce+dice"));
  net.backward();
  parameters.allocate();
  parameters.initialize(11);
  Arena arena;
  Plan plan(tape, arena, {.poison = true});
  plan.bind();
  for (std::int64_t i = 0; i < image.shape().count(); ++i)
    static_cast<T*>(image.slot->data)[i] = static_cast<T>(std::sin(0.7 * static_cast<double>(i)));
  for (std::int64_t i = 0; i < label.shape().count(); ++i)
    static_cast<std::uint8_t*>(label.slot->data)[i] = i % 3 == 0;
  plan.run();
  std::vector<double> all = {static_cast<double>(*static_cast<const T*>(loss.slot->data))};
  for (const Parameter& p : parameters.all())
    if (p.trained)
      all.insert(all.end(), static_cast<const T*>(p.gradient.data),
                 static_cast<const T*>(p.gradient.data) + p.count());
  return all;
}

double relative_distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

template <class T>
void compare_all(TapeOptions options, double bound, Shape image) {
  CAPTURE(channels);
  for (const Producer& producer : producers())
    for (const Consumer& consumer : consumers()) {
      INFO(std::string(producer.name), " before ", std::string(consumer.name), ", ",
           to_string(image));
      const auto fused = outcome<T>(producer.fused, consumer.word, options, image);
      const auto plain = outcome<T>(producer.plain, consumer.word, options, image);
      CHECK(relative_distance(fused, plain) <= bound);
    }
  for (const Producer& word : words_of_one_tensor()) {
    INFO(std::string(word.name), " of one tensor");
    const auto same = [](Net, Tensor x) { return x; };
    CHECK(relative_distance(outcome<T>(word.fused, same, options, image),
                            outcome<T>(word.plain, same, options, image)) <= bound);
  }
}

/// Steps of a kind that a decoder block leaves on the reference backend.
std::ptrdiff_t steps_named(std::string_view op, Shape image_shape) {
  Parameters parameters(DType::f64);
  Tape tape(parameters, {.backend = Backend::reference, .dtype = DType::f64});
  const Net net{&tape, ""};
  Tensor x = conv(net / "x", net.resident(image_shape, DType::f64, "image"));
  Tensor low = max_pool(net, x, {});
  Tensor y = conv(net / "y", upsample_concat(net, low, x));
  Tensor label = net.resident(y.shape(), DType::u8, "label");
  fjord::loss(net, y, label, parse_loss("bce"));
  net.backward();
  return std::ranges::count_if(tape.steps, [&](const Step& step) { return step.op == op; });
}

/// Steps of a kind that a training step of conv_bn_act and what follows it leaves on the CPU.
std::ptrdiff_t steps_behind(int outputs, const Word& word, std::string_view op) {
  enable_cpu_kernels();
  Parameters parameters;
  Tape tape(parameters, {});
  const Net net{&tape, ""};
  Tensor x = conv2d(net / "x", net.resident({1, 8, 8, 3}, DType::f32, "image"), {.channels = 16});
  Tensor y = word(net, conv_bn_act(net / "y", x, {.conv = {.channels = outputs}}));
  Tensor logits = conv2d(net / "head", y, {.channels = 1, .kernel = 1});
  Tensor label = net.resident({y.n(), y.h(), y.w(), 1}, DType::u8, "label");
  fjord::loss(net, logits, label, parse_loss("bce"));
  net.backward();
  return std::ranges::count_if(tape.steps, [&](const Step& step) { return step.op == op; });
}

}  // namespace

TEST_CASE("a convolution makes the moments of its normalisation where the backend has that") {
  const auto conv = [](Net net, Tensor x) { return conv2d(net, x, {.channels = 16}); };
  CHECK(steps_behind(16, conv, "batch_norm_statistics") == 0);
  CHECK(steps_behind(8, conv, "batch_norm_statistics") == 1);  // not Winograd's
}

TEST_CASE("a convolution reads through a normalisation unless somebody materialised it") {
  const auto conv = [](Net net, Tensor x) { return conv2d(net, x, {.channels = 16}); };
  const auto two = [=](Net net, Tensor x) {
    Tensor a = conv(net / "a", x);
    return add(net, a, conv(net / "b", x));
  };
  const auto conv_first = [=](Net net, Tensor x) {
    Tensor a = conv(net, x);
    return add(net, a, relu(net, x));
  };
  const auto relu_first = [=](Net net, Tensor x) {
    Tensor a = relu(net, x);
    return add(net, a, conv(net, x));
  };
  CHECK(steps_behind(16, conv, "batch_norm_apply") == 0);
  CHECK(steps_behind(8, conv, "batch_norm_apply") == 2);  // forward, and again for the filter
  CHECK(steps_behind(16, two, "batch_norm_apply") == 0);
  CHECK(steps_behind(16, conv_first, "batch_norm_apply") == 1);
  CHECK(steps_behind(16, relu_first, "batch_norm_apply") == 2);
}

TEST_CASE("a convolution sums the gradient for the normalisation before it, where it writes last") {
  const auto conv = [](Net net, Tensor x) { return conv2d(net, x, {.channels = 16}); };
  const auto conv_last = [=](Net net, Tensor x) {  // going backward
    Tensor a = conv(net, x);
    return add(net, a, relu(net, x));
  };
  const auto conv_first = [=](Net net, Tensor x) {
    Tensor a = relu(net, x);
    return add(net, a, conv(net, x));
  };
  const auto enlarged = [=](Net net, Tensor x) {
    return conv(net, upsample(net, x, 2 * x.h(), 2 * x.w()));
  };
  CHECK(steps_behind(16, conv, "batch_norm_backward_reduce") == 0);
  CHECK(steps_behind(32, enlarged, "batch_norm_backward_reduce") == 0);
  CHECK(steps_behind(16, enlarged, "batch_norm_backward_reduce") == 1);  // built first
  CHECK(steps_behind(8, conv, "batch_norm_backward_reduce") == 1);       // not Winograd's
  CHECK(steps_behind(16, conv_last, "batch_norm_backward_reduce") == 0);
  CHECK(steps_behind(16, conv_first, "batch_norm_backward_reduce") == 1);
}

TEST_CASE("a filter's pass makes the gradient before a normalisation, but for a residual's mask") {
  channels = 16;
  const auto residual = [](Net net, Tensor x) { return fused_block(net / "r", x, Act::relu, x); };
  const auto both = [=](Net net, Tensor x) { return conv(net, residual(net, x)); };
  CHECK(steps_behind(16, conv, "batch_norm_backward_apply") == 0);
  CHECK(steps_behind(8, conv, "batch_norm_backward_apply") == 1);  // not Winograd's
  CHECK(steps_behind(16, residual, "batch_norm_backward_apply") == 1);
  CHECK(steps_behind(16, both, "batch_norm_backward_apply") == 0);
  CHECK(steps_behind(16, both, "batch_norm_backward_reduce") == 0);
  CHECK(steps_behind(16, both, "copy_forward") == 0);
  channels = 4;
}

TEST_CASE("a convolution reads through an enlarged image of exactly twice the size") {
  enable_reference_kernels();
  for (const char* op :
       {"upsample_conv_forward", "upsample_conv_backward_data", "upsample_conv_backward_filter"}) {
    CHECK(steps_named(op, kImages[0]) == 0);
    CHECK(steps_named(op, kImages[1]) == 1);
  }
  CHECK(steps_named("upsample_concat_forward", kImages[0]) > 0);
  CHECK(steps_named("upsample_concat_forward", kImages[1]) == 0);
}

TEST_CASE("deferred tensors equal the plain composition: reference backend, double") {
  enable_reference_kernels();
  // Rounding: a hundred times that of a double, over sums of up to 540 products.
  for (const Shape image : kImages)
    compare_all<double>({.backend = Backend::reference, .dtype = DType::f64}, 1e-12, image);
}

TEST_CASE("deferred tensors equal the plain composition: cpu backend, float") {
  enable_cpu_kernels();
  // Rounding: sixteen times that of a float.
  for (const Shape image : kImages)
    compare_all<float>({.backend = Backend::cpu, .dtype = DType::f32}, 1e-6, image);
}

TEST_CASE("deferred tensors equal the plain composition: cpu backend, Winograd") {
  enable_cpu_kernels();
  // The same bound: Winograd's larger errors are those of both sides.
  channels = 16;
  for (const Shape image : kImages)
    compare_all<float>({.backend = Backend::cpu, .dtype = DType::f32}, 1e-6, image);
  channels = 32;  // as many as it enlarges on the way
  compare_all<float>({.backend = Backend::cpu, .dtype = DType::f32}, 1e-6, kImages[1]);
  channels = 4;
}
