// Rows of 3x3 convolutions with few outputs: vectors along the input's
// channels, each output a sum across one.
#include "kernels/cpu/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

namespace {

constexpr int kTaps = 3;

// The taps that lie inside an image for an output that begins at `first`.
struct Inside {
  int begin, end;
  FJORD_HD Inside(std::int64_t first, std::int64_t size)
      : begin(first < 0 ? static_cast<int>(-first) : 0),
        end(first + kTaps > size ? static_cast<int>(size - first) : kTaps) {}
  FJORD_HD bool whole() const { return begin == 0 && end == kTaps; }
};

// The sum of each of `width` vectors, in one.
FJORD_HD Vector across(Vector* v) {
#pragma GCC unroll 4
  for (int count = kWidth; count > 1; count /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < count / 2; ++i) v[i] = add_neighbours(v[2 * i], v[2 * i + 1]);
  return v[0];
}

FJORD_HD float across(Vector v) {
  float sum = 0;
  for (int i = 0; i < kWidth; ++i) sum += v[i];
  return sum;
}

// y = sum over taps and channels of x * weight, for one output pixel and one
// output.
FJORD_HD float output_of(const FewOutputs& f, std::int64_t column, int k, Inside rows,
                         Inside columns) {
  const float* weight = f.weight + k * kTaps * kTaps * f.channels;
  Vector sum{};
  for (int v = rows.begin; v < rows.end; ++v)
    for (int u = columns.begin; u < columns.end; ++u) {
      const float* x = f.x + ((f.row + v) * f.w + column + u) * f.channels;
      const float* tap = weight + (v * kTaps + u) * f.channels;
      for (std::int64_t c = 0; c < f.channels; c += kWidth) sum += load(x + c) * load(tap + c);
    }
  return across(sum);
}

// The same of `width` outputs side by side of which every tap lies inside, one
// vector of channels.
FJORD_HD void outputs_of_vector(const FewOutputs& f, std::int64_t column, const float* weight,
                                std::int64_t c, Vector* sums) {
  Vector taps[kTaps * kTaps];
#pragma GCC unroll 9
  for (int i = 0; i < kTaps * kTaps; ++i) taps[i] = load(weight + i * f.channels + c);
  for (int i = 0; i < kWidth; ++i) {
    const float* x = f.x + (f.row * f.w + column + i) * f.channels + c;
    Vector sum[kTaps];
#pragma GCC unroll 3
    for (int v = 0; v < kTaps; ++v) {
      const float* at = x + v * f.w * f.channels;
      sum[v] = load(at) * taps[v * kTaps];
      sum[v] += load(at + f.channels) * taps[v * kTaps + 1];
      sum[v] += load(at + 2 * f.channels) * taps[v * kTaps + 2];
    }
    sums[i] = sums[i] + ((sum[0] + sum[1]) + sum[2]);
  }
}

FJORD_HD void outputs_inside(const FewOutputs& f, std::int64_t column, std::int64_t first) {
  for (int k = 0; k < f.outputs; ++k) {
    Vector sums[kWidth] = {};
    for (std::int64_t c = 0; c < f.channels; c += kWidth)
      outputs_of_vector(f, column, f.weight + k * kTaps * kTaps * f.channels, c, sums);
    const Vector y = across(sums) + splat(f.bias ? f.bias[k] : 0.0f);
    if (f.outputs == 1) {
      store(f.y + first, y);
      return;
    }
    float values[kWidth];
    store(values, y);
    for (int i = 0; i < kWidth; ++i) f.y[(first + i) * f.outputs + k] = values[i];
  }
}

// sums[tap] += x of the tap * dy over outputs of which every tap lies inside.
FJORD_HD void gradient_inside(const FewOutputs& f, int k, std::int64_t c, std::int64_t begin,
                              std::int64_t end, Vector* total) {
  Vector sums[kTaps * kTaps];
#pragma GCC unroll 9
  for (int i = 0; i < kTaps * kTaps; ++i) sums[i] = total[i];
  const float* x = f.x + (f.row * f.w + begin - f.padding) * f.channels + c;
  for (std::int64_t o = begin; o < end; ++o, x += f.channels) {
    const Vector dy = splat(f.dy[o * f.outputs + k]);
#pragma GCC unroll 3
    for (int v = 0; v < kTaps; ++v)
#pragma GCC unroll 3
      for (int u = 0; u < kTaps; ++u)
        sums[v * kTaps + u] += load(x + (v * f.w + u) * f.channels) * dy;
  }
#pragma GCC unroll 9
  for (int i = 0; i < kTaps * kTaps; ++i) total[i] = sums[i];
}

FJORD_HD void gradient_of_one(const FewOutputs& f, int k, std::int64_t c, std::int64_t o,
                              Inside rows, Vector* sums) {
  const Inside columns(o - f.padding, f.w);
  const float* x = f.x + (f.row * f.w + o - f.padding) * f.channels + c;
  const Vector dy = splat(f.dy[o * f.outputs + k]);
  for (int v = rows.begin; v < rows.end; ++v)
    for (int u = columns.begin; u < columns.end; ++u)
      sums[v * kTaps + u] += load(x + (v * f.w + u) * f.channels) * dy;
}

// Over a row, for one output and one vector of channels.
FJORD_HD void gradient_of_vector(const FewOutputs& f, int k, std::int64_t c, double* total) {
  const Inside rows(f.row, f.h);
  Vector sums[kTaps * kTaps] = {};
  std::int64_t begin = f.padding, end = f.w - (kTaps - 1) + f.padding;
  if (!rows.whole() || end <= begin) begin = end = f.out_w;
  for (std::int64_t o = 0; o < begin; ++o) gradient_of_one(f, k, c, o, rows, sums);
  gradient_inside(f, k, c, begin, end, sums);
  for (std::int64_t o = end; o < f.out_w; ++o) gradient_of_one(f, k, c, o, rows, sums);
  for (int i = 0; i < kTaps * kTaps; ++i)
    for (int lane = 0; lane < kWidth; ++lane)
      total[i * f.channels + c + lane] += static_cast<double>(sums[i][lane]);
}

}  // namespace

void few_outputs(const FewOutputs& f) {
  const Inside rows(f.row, f.h);
  for (std::int64_t o = 0; o < f.out_w;) {
    const std::int64_t column = o - f.padding;
    if (rows.whole() && column >= 0 && column + kWidth - 1 + kTaps <= f.w) {
      outputs_inside(f, column, o);
      o += kWidth;
      continue;
    }
    for (int k = 0; k < f.outputs; ++k)
      f.y[o * f.outputs + k] =
          output_of(f, column, k, rows, {column, f.w}) + (f.bias ? f.bias[k] : 0.0f);
    ++o;
  }
}

void few_outputs_gradient(const FewOutputs& f, double* sums) {
  for (int k = 0; k < f.outputs; ++k)
    for (std::int64_t c = 0; c < f.channels; c += kWidth)
      gradient_of_vector(f, k, c, sums + k * kTaps * kTaps * f.channels);
}

}  // namespace fjord::FJORD_ISA
