// Numbers that carry their derivative, so that a formula's gradient follows from its value alone.
#pragma once

#include <cmath>

namespace fjord::reference {

struct Dual {
  double x = 0, d = 0;

  Dual() = default;
  Dual(double x, double d = 0) : x(x), d(d) {}
};

inline Dual operator+(Dual a, Dual b) { return {a.x + b.x, a.d + b.d}; }
inline Dual operator-(Dual a, Dual b) { return {a.x - b.x, a.d - b.d}; }
inline Dual operator-(Dual a) { return {-a.x, -a.d}; }
inline Dual operator*(Dual a, Dual b) { return {a.x * b.x, a.d * b.x + a.x * b.d}; }
inline Dual operator/(Dual a, Dual b) { return {a.x / b.x, a.d / b.x - a.x / b.x * (b.d / b.x)}; }
inline Dual exp(Dual a) { return {std::exp(a.x), std::exp(a.x) * a.d}; }
inline Dual log(Dual a) { return {std::log(a.x), a.d / a.x}; }
inline Dual sqrt(Dual a) { return {std::sqrt(a.x), a.d / (2 * std::sqrt(a.x))}; }
inline Dual abs(Dual a) { return a.x < 0 ? -a : Dual{std::fabs(a.x), a.x == 0 ? 0 : a.d}; }
/// Of 0, where a power below 1 has no slope: 0.
inline Dual pow(Dual a, double e) {
  return {std::pow(a.x, e), a.x == 0 && e < 1 ? 0 : e == 0 ? 0 : e * std::pow(a.x, e - 1) * a.d};
}
/// log(1 + exp(a)).
inline Dual softplus(Dual a) {
  const double e = std::exp(-std::fabs(a.x)), p = (a.x < 0 ? e : 1) / (1 + e);
  return {std::fmax(a.x, 0.0) + std::log1p(e), p * a.d};
}

}  // namespace fjord::reference
