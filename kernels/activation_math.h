// The activations that are passes of their own, for host and device.
#pragma once

#include <cmath>

#include "kernels/host_device.h"
#include "kernels/pointwise.h"
#include "kernels/rng.h"

namespace fjord {

template <class T>
FJORD_HD T sigmoid_of(T x) {
  return T{1} / (T{1} + std::exp(-x));
}

template <class T>
FJORD_HD T activated(T x, Act act) {
  if (act == Act::relu6) return x < T{0} ? T{0} : x > T{6} ? T{6} : x;
  if (act == Act::silu) return x * sigmoid_of(x);
  if (act == Act::sigmoid) return sigmoid_of(x);
  return act == Act::relu && x < T{0} ? T{0} : x;
}

/// The derivative at x. PyTorch's: 0 at both ends of relu6.
template <class T>
FJORD_HD T activation_slope(T x, Act act) {
  if (act == Act::relu6) return x <= T{0} || x >= T{6} ? T{0} : T{1};
  if (act == Act::relu) return x <= T{0} ? T{0} : T{1};
  if (act == Act::none) return T{1};
  const T s = sigmoid_of(x), slope = s * sigmoid_of(-x);  // 1 - s would lose digits
  return act == Act::silu ? s + x * slope : slope;
}

/// Value i of a random mask in a training step.
FJORD_HD float mask_value(const RandomMask& mask, std::uint32_t step, std::int64_t i) {
  const auto draw = static_cast<std::uint32_t>(i / mask.repeats);
  const RandomWords words = Philox{mask.seed}.draw(Draw::dropout, mask.layer, step, draw / 4);
  const std::uint32_t pair = draw % 2 == 0 ? words[0] : words[1];
  const std::uint32_t other = draw % 2 == 0 ? words[2] : words[3];
  const bool kept = uniform(draw % 4 < 2 ? pair : other) < mask.keep;
  return kept ? static_cast<float>(1.0 / mask.keep) : 0.0f;
}

}  // namespace fjord
