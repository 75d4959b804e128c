// The one-dimensional transforms of Winograd's F(4,3) and F(3,4) for the points 0, +-a, +-b and
// infinity with a = 5/8 and b = 3/2. docs/cpu-speed.md derives them. In two dimensions each is
// applied to the columns and then to the rows.
#pragma once

#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

namespace {

constexpr int kPoints = 6, kPositions = kPoints * kPoints, kOutputs = 4, kTaps = 3;

constexpr float kA = 0.625f, kA2 = kA * kA, kA3 = kA2 * kA;
constexpr float kB = 1.5f, kB2 = kB * kB, kB3 = kB2 * kB;
constexpr float kAB2 = kA2 * kB2, kSum2 = kA2 + kB2;

// One over the product of a point's distances to the others.
constexpr float kAtZero = 1 / kAB2;
constexpr float kAtA = 1 / (2 * kA2 * (kA2 - kB2)), kAtB = 1 / (2 * kB2 * (kB2 - kA2));

// B^T d: six pixels at the six points.
FJORD_HD void input_points(const Vector* d, Vector* v) {
  const Vector even_a = d[4] - kB2 * d[2], odd_a = kA * (d[3] - kB2 * d[1]);
  const Vector even_b = d[4] - kA2 * d[2], odd_b = kB * (d[3] - kA2 * d[1]);
  v[0] = kAB2 * d[0] + (d[4] - kSum2 * d[2]);
  v[1] = even_a + odd_a;
  v[2] = even_a - odd_a;
  v[3] = even_b + odd_b;
  v[4] = even_b - odd_b;
  v[5] = kAB2 * d[1] + (d[5] - kSum2 * d[3]);
}

// A^T m: six products to four outputs.
FJORD_HD void output_points(const Vector* m, Vector* y) {
  const Vector sum_a = m[1] + m[2], difference_a = m[1] - m[2];
  const Vector sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = kA * difference_a + kB * difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = kA3 * difference_a + (kB3 * difference_b + m[5]);
}

// A g: four gradients of outputs at the six points.
FJORD_HD void gradient_points(const Vector* g, Vector* z) {
  const Vector even_a = g[0] + kA2 * g[2], odd_a = kA * (g[1] + kA2 * g[3]);
  const Vector even_b = g[0] + kB2 * g[2], odd_b = kB * (g[1] + kB2 * g[3]);
  z[0] = g[0];
  z[1] = even_a + odd_a;
  z[2] = even_a - odd_a;
  z[3] = even_b + odd_b;
  z[4] = even_b - odd_b;
  z[5] = g[3];
}

// G w: three taps of a filter at the six points.
FJORD_HD void filter_points(const Vector* w, Vector* u) {
  const Vector even_a = kAtA * w[0] + (kAtA * kA2) * w[2], odd_a = (kAtA * kA) * w[1];
  const Vector even_b = kAtB * w[0] + (kAtB * kB2) * w[2], odd_b = (kAtB * kB) * w[1];
  u[0] = kAtZero * w[0];
  u[1] = even_a + odd_a;
  u[2] = even_a - odd_a;
  u[3] = even_b + odd_b;
  u[4] = even_b - odd_b;
  u[5] = w[2];
}

// G^T u: six sums to the gradients of three taps.
FJORD_HD void filter_gradient_points(const Vector* u, Vector* w) {
  const Vector sum_a = u[1] + u[2], difference_a = u[1] - u[2];
  const Vector sum_b = u[3] + u[4], difference_b = u[3] - u[4];
  w[0] = kAtZero * u[0] + kAtA * sum_a + kAtB * sum_b;
  w[1] = (kAtA * kA) * difference_a + (kAtB * kB) * difference_b;
  w[2] = (kAtA * kA2) * sum_a + ((kAtB * kB2) * sum_b + u[5]);
}

using Points = void (*)(const Vector*, Vector*);

// The transform in two dimensions: `from` is read column by column, `to` called row by row.
template <int in, int out, Points points, class From, class To>
FJORD_HD void transform(const From& from, const To& to) {
  Vector half[out][in];
#pragma GCC unroll 8
  for (int column = 0; column < in; ++column) {
    Vector values[in], points_of[out];
#pragma GCC unroll 8
    for (int row = 0; row < in; ++row) values[row] = from(row, column);
    points(values, points_of);
#pragma GCC unroll 8
    for (int row = 0; row < out; ++row) half[row][column] = points_of[row];
  }
#pragma GCC unroll 8
  for (int row = 0; row < out; ++row) {
    Vector points_of[out];
    points(half[row], points_of);
#pragma GCC unroll 8
    for (int column = 0; column < out; ++column) to(row, column, points_of[column]);
  }
}

// Where the 36 values of a transform go, a plane apart: operands by channel, or those of a tile at
// one of the places of a slot.
struct StorePoint {
  float* to;
  std::int64_t plane;
  bool by_tile;
  int place;
  FJORD_HD void operator()(int row, int column, Vector v) const {
    float* at = to + (row * kPoints + column) * plane;
    if (by_tile)
      store_tile(at, v, place);
    else
      store_operands(at, v);
  }
};

// The pixels that a tile further along the row will be the first to read, asked for early: a row of
// tiles is four streams, too short for the processor to see.
struct Ahead {
  const float* first;
  std::int64_t row_stride, channels, rows, columns;
  FJORD_HD void prefetch(std::int64_t channel) const {
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = 0; column < columns; ++column)
        __builtin_prefetch(first + row * row_stride + column * channels + channel);
  }
};

}  // namespace

}  // namespace fjord::FJORD_ISA
