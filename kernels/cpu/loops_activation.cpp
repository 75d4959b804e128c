// Activations that normalisation does not apply itself, and their gradients.
#include "kernels/cpu/loops_isa.h"

namespace fjord::FJORD_ISA {

namespace {

// e^x to 2.5e-7 of it, without a branch, so that loops of it fill vectors: 2^n e^r with
// |r| <= ln 2 / 2, the second by its series. Infinite from 88.3 on, 0 below -87.3 (where floats are
// subnormal); a NaN stays a NaN.
struct VectorExp {
  FJORD_HD float operator()(float given) const {
    constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer's bits last
    constexpr float kLeast = -87.3f, kMost = 88.3f;
    const float x = given < kLeast ? kLeast : given > kMost ? kMost : given;
    const float shifted = x * kLog2E + kRound, n = shifted - kRound;
    const float r = x - n * kLn2High - n * kLn2Low;
    float series = 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 1.0f / 2;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    const std::uint32_t power = (__builtin_bit_cast(std::uint32_t, shifted) << 23) + 0x3f800000u;
    const float value = series * __builtin_bit_cast(float, power);
    return given < kLeast ? 0.0f : given > kMost ? __builtin_inff() : value;
  }
};

// A loop for each activation and each way of writing: none is chosen inside.
template <Act act>
struct Activation {
  // y may be x.
  static void forward(const float* x, float* y, std::int64_t count, bool add) {
    if (add)
#pragma GCC ivdep
      for (std::int64_t i = 0; i < count; ++i) y[i] += activated(x[i], act, VectorExp{});
    else
#pragma GCC ivdep
      for (std::int64_t i = 0; i < count; ++i) y[i] = activated(x[i], act, VectorExp{});
  }
  // dx may overwrite dy.
  static void backward(const float* __restrict x, const float* dy, float* dx, std::int64_t count,
                       bool add) {
    if (add)
#pragma GCC ivdep
      for (std::int64_t i = 0; i < count; ++i)
        dx[i] += dy[i] * activation_slope(x[i], act, VectorExp{});
    else
#pragma GCC ivdep
      for (std::int64_t i = 0; i < count; ++i)
        dx[i] = dy[i] * activation_slope(x[i], act, VectorExp{});
  }
};

template <class Run>
FJORD_HD void with_activation(Act act, Run run) {
  switch (act) {
    case Act::none:
      return run(Activation<Act::none>{});
    case Act::relu:
      return run(Activation<Act::relu>{});
    case Act::relu6:
      return run(Activation<Act::relu6>{});
    case Act::silu:
      return run(Activation<Act::silu>{});
    case Act::sigmoid:
      return run(Activation<Act::sigmoid>{});
  }
}

}  // namespace

void activate(const float* x, float* y, std::int64_t count, Act act, bool add) {
  with_activation(act, [=](auto a) { a.forward(x, y, count, add); });
}

void activate_backward(const float* x, const float* dy, float* dx, std::int64_t count, Act act,
                       bool add) {
  with_activation(act, [=](auto a) { a.backward(x, dy, dx, count, add); });
}

}  // namespace fjord::FJORD_ISA
