// Moments made by a convolution are those of the very values that it wrote, whatever their mean.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/winograd/winograd.h"
#include "tests/kernels/op_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

// Zeros at a multiple of a cache line, as tensors lie.
struct Values {
  explicit Values(std::int64_t count) : memory(static_cast<std::size_t>(count) + 15) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory.data());
    first = memory.data() + (63 - (at + 63) % 64) / sizeof(float);
  }
  float& operator[](std::int64_t i) { return first[i]; }

  std::vector<float> memory;
  float* first;
};

struct Image : Values {
  explicit Image(Shape shape) : Values(shape.count()), buffer{"values", shape, DType::f32, first} {}
  Buffer buffer;
};

struct Farthest {
  double mean = 0, variance = 0;
};

// Each output is the input of the same channel, so that y's values are drawn by `value`. How far
// the moments lie from those of two passes in double, relative to |mean| + deviation, and to the
// variance.
Farthest farthest_moments(Shape x, double (*value)(std::int64_t)) {
  start_backends();
  const ConvNormShape shape{.conv = {.x = x, .weight = {x.c, 3, 3, x.c}, .y = x, .conv = {}},
                            .moments = true};
  Image image(x), weight(shape.conv.weight), y(x), mean({1, 1, 1, x.c}), variance({1, 1, 1, x.c});
  for (std::int64_t i = 0; i < x.count(); ++i) image[i] = static_cast<float>(value(i));
  for (std::int64_t c = 0; c < x.c; ++c) weight[(c * 9 + 4) * x.c + c] = 1;
  const ConvNormForward pass = winograd_norm_forward(shape);
  Values scratch(static_cast<std::int64_t>(pass.scratch_bytes / sizeof(float)));
  std::ranges::fill(scratch.memory, NAN);
  Stream stream;
  pass.run({.x = {&image.buffer}, .weight = {&weight.buffer}}, {&y.buffer}, {&mean.buffer},
           {&variance.buffer}, scratch.first, stream);
  Farthest farthest;
  const std::int64_t pixels = x.pixels();
  for (std::int64_t c = 0; c < x.c; ++c) {
    double average = 0, squares = 0;
    for (std::int64_t p = 0; p < pixels; ++p) average += y[p * x.c + c];
    average /= static_cast<double>(pixels);
    for (std::int64_t p = 0; p < pixels; ++p) squares += std::pow(y[p * x.c + c] - average, 2);
    const double true_variance = squares / static_cast<double>(pixels);
    farthest.mean = std::max(farthest.mean, std::abs(mean[c] - average) /
                                                (std::abs(average) + std::sqrt(true_variance)));
    farthest.variance = std::max(farthest.variance, std::abs(variance[c] / true_variance - 1));
  }
  return farthest;
}

double near_zero(std::int64_t i) { return uniform(1, i, -1, 1); }
double far_from_zero(std::int64_t i) { return uniform(2, i, 998, 1002); }
// The first value of the first tile lies far from the others, which its sums refer to its mean.
double begins_far(std::int64_t i) { return i == 0 ? 300 : uniform(3, i, -1, 1); }

}  // namespace

TEST_CASE("moments of a convolution's outputs: as good as two passes, whatever the mean") {
  // The last: all threads on one block of tiles after another.
  for (const Shape x :
       {Shape{2, 40, 44, 16}, Shape{1, 9, 7, 48}, Shape{1, 3, 2, 16}, Shape{11, 16, 16, 512}}) {
    CAPTURE(to_string(x));
    for (auto* value : {near_zero, far_from_zero, begins_far}) {
      const Farthest f = farthest_moments(x, value);
      CHECK(f.mean <= 1e-7);  // half a unit of float is 6e-8
      CHECK(f.variance <= 1e-6);
    }
  }
}

}  // namespace fjord
