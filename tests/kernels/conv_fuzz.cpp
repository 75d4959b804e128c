// Winograd convolutions of random shapes against the reference: a few shapes every day,
// FJORD_FUZZ_SHAPES of them on demand.
#include <doctest/doctest.h>

#include <cstdlib>

#include "kernels/cpu/backend.h"
#include "kernels/rng.h"
#include "tests/kernels/conv_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

constexpr int kDailyShapes = 80;

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
                  .winograd = true};
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

}  // namespace

TEST_CASE("Winograd convolutions of random shapes") {
  start_backends();
  const char* wanted = std::getenv("FJORD_FUZZ_SHAPES");
  const int shapes = wanted ? std::atoi(wanted) : kDailyShapes;
  REQUIRE(shapes > 0);
  for (int i = 0; i < shapes; ++i) {
    std::vector<OpCase> cases;
    add_conv_layer(cases, drawn(static_cast<std::uint32_t>(i)), {i % 2 ? Write::add : Write::store},
                   true);
    for (const OpCase& op_case : cases) {
      CAPTURE(op_case.slot);
      CAPTURE(op_case.what);
      for (const std::string& fault : faults_of(op_case)) FAIL_CHECK(fault);
    }
  }
  MESSAGE(shapes << " shapes on " << to_string(cpu_isa()));
}

}  // namespace fjord
