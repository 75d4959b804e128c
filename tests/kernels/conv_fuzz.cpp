// Convolutions of random shapes against the reference: a few shapes every day, FJORD_FUZZ_SHAPES of
// them on demand.
#include <doctest/doctest.h>

#include <cstdlib>

#include "kernels/cpu/backend.h"
#include "kernels/rng.h"
#include "tests/kernels/conv_case.h"
#include "tests/kernels/conv_inference_case.h"
#include "tests/kernels/conv_norm_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

constexpr int kDailyShapes = 80, kDailyOthers = 30;
constexpr std::int64_t kMostProducts = 4'000'000;

// Small numbers most often: those are where tiles and vectors are partly empty.
class Dice {
 public:
  explicit Dice(std::uint32_t shape) : shape_(shape) {}

  std::int64_t up_to(std::int64_t most) {
    const double first = roll(), second = roll();
    return 1 + static_cast<std::int64_t>(first * second * static_cast<double>(most));
  }
  bool coin() { return roll() < 0.5; }

 private:
  double roll() { return uniform(random_.draw(Draw::augment, shape_, rolls_++, 0)[0]); }

  const Philox random_{20};
  std::uint32_t shape_, rolls_ = 0;
};

// Kept below a few million products, so that ten thousand shapes take minutes.
ConvLayer drawn(std::uint32_t i) {
  Dice dice(i);
  ConvLayer layer{.x = {dice.up_to(6), dice.up_to(64), dice.up_to(64), dice.up_to(160)},
                  .outputs = dice.up_to(160),
                  .conv = {.padding = static_cast<int>(dice.up_to(3)) - 1},
                  .bias = dice.coin(),
                  .winograd = true,
                  .bf16 = dice.coin()};
  Shape& x = layer.x;
  if (layer.conv.padding == 0) x.h += 2, x.w += 2;
  while (x.count() * layer.outputs > 400'000) {
    std::int64_t& widest = x.pixels() > 200      ? (x.h > x.w ? x.h : x.w)
                           : x.c > layer.outputs ? x.c
                                                 : layer.outputs;
    widest = (widest + 1) / 2;
  }
  return layer;
}

// What the rule gives to the convolutions with few outputs.
ConvLayer drawn_with_few_outputs(std::uint32_t i) {
  Dice dice(i);
  const Shape x{dice.up_to(3), dice.up_to(40), dice.up_to(70), 16 * dice.up_to(4)};
  ConvLayer layer{.x = x,
                  .outputs = dice.up_to(4),
                  .conv = {.padding = static_cast<int>(dice.up_to(3)) - 1},
                  .bias = dice.coin()};
  if (layer.conv.padding == 0) layer.x.h += 2, layer.x.w += 2;
  return layer;
}

ConvLayer drawn_depthwise(std::uint32_t i) {
  Dice dice(i + 3'000'000);
  const std::int64_t channels = 16 * dice.up_to(4);
  const int kernel = dice.coin() ? 3 : 5;
  ConvLayer layer{.x = {dice.up_to(3), dice.up_to(30), dice.up_to(50), channels},
                  .outputs = channels,
                  .conv = {.kernel = kernel,
                           .stride = static_cast<int>(dice.up_to(2)),
                           .padding = static_cast<int>(dice.up_to(kernel)) - 1,
                           .groups = static_cast<int>(channels)},
                  .bias = dice.coin(),
                  .depthwise = true};
  layer.x.h += kernel - 1, layer.x.w += kernel - 1;
  return layer;
}

// Whatever a convolution may be: strides, dilation, groups, windows of one pixel and more.
ConvLayer drawn_of_any_geometry(std::uint32_t i) {
  Dice dice(i + 4'000'000);
  constexpr int kKernels[]{1, 2, 3, 5, 7};
  Conv2d conv{.kernel = kKernels[dice.up_to(5) - 1],
              .stride = static_cast<int>(dice.up_to(3)),
              .padding = 0,
              .dilation = static_cast<int>(dice.up_to(3)),
              .groups = static_cast<int>(dice.up_to(8))};
  conv.padding = static_cast<int>(dice.up_to(conv.kernel)) - 1;
  const std::int64_t window = conv.dilation * (conv.kernel - 1);
  const std::int64_t most = conv.groups == 1 ? 160 : 24;  // more than a block of packed filters
  ConvLayer layer{.x = {dice.up_to(3), dice.up_to(20) + window, dice.up_to(20) + window,
                        conv.groups * dice.up_to(most)},
                  .outputs = conv.groups * dice.up_to(most),
                  .conv = conv,
                  .bias = dice.coin()};
  // Long rows of few channels: more pixels than oneDNN takes in one step.
  if (conv.kernel == 1) layer.x.w *= dice.up_to(30);
  // The rms of a single value, a sum that may cancel, does not say how large its terms are.
  if (layer.outputs < 4) layer.outputs *= 4;
  const auto products = [&] {
    return layer.x.count() * layer.outputs / conv.groups * conv.kernel * conv.kernel;
  };
  while (products() > kMostProducts && layer.x.c > conv.groups)
    layer.x.c = (layer.x.c / conv.groups + 1) / 2 * conv.groups;
  while (products() > kMostProducts && layer.outputs > conv.groups)
    layer.outputs = (layer.outputs / conv.groups + 1) / 2 * conv.groups;
  return layer;
}

// The same layer for inference; every third reads through an enlargement.
InferenceLayer drawn_inference(std::uint32_t i) {
  const ConvLayer layer = drawn(i);
  Dice dice(i + 1'000'000);
  InferenceLayer l{.x = layer.x,
                   .outputs = layer.outputs,
                   .conv = layer.conv,
                   .scale = dice.coin(),
                   .shift = dice.coin(),
                   .through = i % 3 == 0,
                   .residual = dice.coin(),
                   .act = dice.coin() ? Act::relu : Act::none,
                   .memory = dice.coin() ? FilterMemory::low : FilterMemory::normal,
                   .winograd = true,
                   .bf16 = dice.coin()};
  if (!l.through) return l;
  l.x = {l.x.n, (l.x.h + 1) / 2, (l.x.w + 1) / 2, (l.x.c + 31) / 32 * 16};
  if (dice.coin()) l.skip = dice.up_to(40);
  return l;
}

// The same layer between normalisations; every third reads through an enlargement.
NormLayer drawn_norm(std::uint32_t i) {
  const ConvLayer layer = drawn(i);
  Dice dice(i + 2'000'000);
  NormLayer l{.x = layer.x,
              .outputs = layer.outputs,
              .conv = layer.conv,
              .through = i % 3 == 0,
              .normalized = dice.coin(),
              .act = dice.coin() ? Act::relu : Act::none,
              .winograd = true};
  l.moments = !l.normalized || dice.coin();
  l.bf16 = dice.coin();
  if (!l.through) return l;
  l.x = {l.x.n, (l.x.h + 1) / 2, (l.x.w + 1) / 2, (l.x.c + 63) / 64 * 32};
  l.conv.padding = 1;
  if (dice.coin()) l.skip = 16 * dice.up_to(3);
  return l;
}

template <ConvLayer (*draw)(std::uint32_t)>
void add_passes(std::vector<OpCase>& cases, std::uint32_t i) {
  add_conv_layer(cases, draw(i), {i % 2 ? Write::add : Write::store}, true);
}

void add_inference(std::vector<OpCase>& cases, std::uint32_t i) {
  cases.push_back(inference_case(drawn_inference(i)));
}

void add_norm(std::vector<OpCase>& cases, std::uint32_t i) {
  cases.push_back(norm_forward_case(drawn_norm(i)));
  const Write mode = i % 2 ? Write::add : Write::store;
  cases.push_back(norm_backward_filter_case(drawn_norm(i), mode));
  cases.push_back(norm_backward_filter_case(drawn_norm(i), mode,
                                            MadeDy{i % 4 < 2 ? Act::relu : Act::none, i % 3 == 0}));
  cases.push_back(norm_backward_data_case(drawn_norm(i), {mode, i % 4 < 2, mode}));
}

void check_shapes(int daily, void (*add)(std::vector<OpCase>&, std::uint32_t)) {
  start_backends();
  const char* wanted = std::getenv("FJORD_FUZZ_SHAPES");
  const int shapes = wanted ? std::atoi(wanted) : daily;
  REQUIRE(shapes > 0);
  for (int i = 0; i < shapes; ++i) {
    std::vector<OpCase> cases;
    add(cases, static_cast<std::uint32_t>(i));
    for (const OpCase& op_case : cases) {
      CAPTURE(op_case.slot);
      CAPTURE(op_case.what);
      for (const std::string& fault : faults_of(op_case)) FAIL_CHECK(fault);
    }
  }
  MESSAGE(shapes << " shapes on " << to_string(cpu_isa()));
}

}  // namespace

TEST_CASE("Winograd convolutions of random shapes") {
  check_shapes(kDailyShapes, add_passes<drawn>);
}

TEST_CASE("Winograd convolutions for inference of random shapes") {
  check_shapes(kDailyShapes, add_inference);
}

TEST_CASE("Winograd convolutions between normalisations of random shapes") {
  check_shapes(kDailyShapes, add_norm);
}

TEST_CASE("Convolutions with few outputs of random shapes") {
  check_shapes(kDailyOthers, add_passes<drawn_with_few_outputs>);
}

TEST_CASE("Depthwise convolutions of random shapes") {
  check_shapes(kDailyOthers, add_passes<drawn_depthwise>);
}

TEST_CASE("Convolutions of any geometry, of random shapes") {
  check_shapes(kDailyOthers, add_passes<drawn_of_any_geometry>);
}

}  // namespace fjord
