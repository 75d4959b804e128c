// Element-wise loops and the optimizers' updates.
#include "kernels/cpu/loops_isa.h"

namespace fjord::FJORD_ISA {

// A NaN stays a NaN (x < 0 is false for it), so that it is found where it arose.
FJORD_HD float positive(float x) { return x < 0.0f ? 0.0f : x; }

void relu(const float* __restrict x, float* __restrict y, std::int64_t count, bool add) {
  if (add)
    for (std::int64_t i = 0; i < count; ++i) y[i] += positive(x[i]);
  else
    for (std::int64_t i = 0; i < count; ++i) y[i] = positive(x[i]);
}

void relu_backward(const float* __restrict y, const float* __restrict dy, float* __restrict dx,
                   std::int64_t count, bool add) {
  if (add)
    for (std::int64_t i = 0; i < count; ++i) dx[i] += y[i] <= 0.0f ? 0.0f : dy[i];
  else
    for (std::int64_t i = 0; i < count; ++i) dx[i] = y[i] <= 0.0f ? 0.0f : dy[i];
}

void add(const float* a, const float* b, float* __restrict y, std::int64_t count, bool add) {
  if (add)
    for (std::int64_t i = 0; i < count; ++i) y[i] += a[i] + b[i];
  else
    for (std::int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

void copy(const float* __restrict x, float* __restrict y, std::int64_t count, bool add) {
  if (add)
    for (std::int64_t i = 0; i < count; ++i) y[i] += x[i];
  else
    for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
}

void channel_scale(Rows rows, const float* x, const float* __restrict scale, float factor,
                   float* __restrict y, bool add) {
  const auto each = [=](auto put) {
    for (std::int64_t p = 0; p < rows.pixels; ++p)
      for (std::int64_t c = 0; c < rows.channels; ++c) put(p * rows.channels + c, c);
  };
  if (x && add)
    each([=](std::int64_t i, std::int64_t c) { y[i] += factor * scale[c] * x[i]; });
  else if (x)
    each([=](std::int64_t i, std::int64_t c) { y[i] = factor * scale[c] * x[i]; });
  else if (add)
    each([=](std::int64_t i, std::int64_t c) { y[i] += factor * scale[c]; });
  else
    each([=](std::int64_t i, std::int64_t c) { y[i] = factor * scale[c]; });
}

// 32 independent sums fill the vectors; doubles, since squares of gradients span many magnitudes.
double sum_of_squares(const float* __restrict x, std::int64_t count) {
  double sums[32] = {};
  std::int64_t i = 0;
  for (; i + 32 <= count; i += 32)
    for (int lane = 0; lane < 32; ++lane) {
      const double value = x[i + lane];
      sums[lane] += value * value;
    }
  for (; i < count; ++i) sums[0] += static_cast<double>(x[i]) * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

void adamw(const float* __restrict dweight, float* __restrict weight, float* __restrict first,
           float* __restrict second, std::int64_t count, const AdamWScalars<float>& scalars) {
  const AdamWScalars<float> s = scalars;
  for (std::int64_t i = 0; i < count; ++i)
    adamw_step(weight[i], first[i], second[i], dweight[i], s);
}

void sgd(const float* __restrict dweight, float* __restrict weight, std::int64_t count,
         const SgdScalars<float>& scalars) {
  const SgdScalars<float> s = scalars;
  for (std::int64_t i = 0; i < count; ++i) sgd_step(weight[i], dweight[i], s);
}

void sgd_momentum(const float* __restrict dweight, float* __restrict weight,
                  float* __restrict velocity, std::int64_t count, bool first_step, bool nesterov,
                  const SgdScalars<float>& scalars) {
  const SgdScalars<float> s = scalars;
  for (std::int64_t i = 0; i < count; ++i)
    sgd_momentum_step(weight[i], velocity[i], dweight[i], first_step, nesterov, s);
}

void ema(const float* __restrict weight, float* __restrict average, std::int64_t count,
         float one_minus_decay) {
  for (std::int64_t i = 0; i < count; ++i) ema_step(average[i], weight[i], one_minus_decay);
}

}  // namespace fjord::FJORD_ISA
