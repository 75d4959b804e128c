// The activations, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace fjord {

/// `none` and `relu` are part of normalisation's passes; the others mostly passes of their own
/// (activate_forward): relu6 = min(max(x, 0), 6), silu = x * sigmoid(x).
enum class Act : std::uint8_t { none, relu, relu6, silu, sigmoid };

/// The exponential of the standard library; the CPU's loops have one that fills vectors.
struct StandardExp {
  template <class T>
  FJORD_HD T operator()(T x) const {
    return std::exp(x);
  }
};

template <class T, class Exp = StandardExp>
FJORD_HD T sigmoid_of(T x, Exp exp = {}) {
  return T{1} / (T{1} + exp(-x));
}

template <class T, class Exp = StandardExp>
FJORD_HD T activated(T x, Act act, Exp exp = {}) {
  if (act == Act::relu6) return x < T{0} ? T{0} : x > T{6} ? T{6} : x;
  if (act == Act::silu) return x * sigmoid_of(x, exp);
  if (act == Act::sigmoid) return sigmoid_of(x, exp);
  return act == Act::relu && x < T{0} ? T{0} : x;
}

/// The derivative at x. PyTorch's: 0 at both ends of relu6.
template <class T, class Exp = StandardExp>
FJORD_HD T activation_slope(T x, Act act, Exp exp = {}) {
  if (act == Act::relu6) return x <= T{0} || x >= T{6} ? T{0} : T{1};
  if (act == Act::relu) return x <= T{0} ? T{0} : T{1};
  if (act == Act::none) return T{1};
  const T s = sigmoid_of(x, exp), slope = s * sigmoid_of(-x, exp);  // 1 - s would lose digits
  return act == Act::silu ? s + x * slope : slope;
}

}  // namespace fjord
