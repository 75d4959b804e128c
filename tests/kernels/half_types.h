// The 16-bit types in the tests' own words: values from bits, and the nearest bits to a value.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/view.h"

namespace fjord {

inline bool is_16_bit(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

/// Bits of the fraction; the exponents' least (of normal numbers) and greatest.
struct HalfType {
  int fraction, least, greatest;
};
inline HalfType half_type(DType dtype) {
  return dtype == DType::bf16 ? HalfType{7, -126, 127} : HalfType{10, -14, 15};
}

/// Half the distance between two neighbours, relative to the smaller: what one rounding may cost.
inline double half_spacing(DType dtype) { return std::ldexp(1.0, -half_type(dtype).fraction - 1); }

inline double from_bits(std::uint16_t bits, DType dtype) {
  const HalfType type = half_type(dtype);
  const int exponents = type.greatest - type.least + 1;  // stored ones of normal numbers: 1..
  const int stored = (bits & 0x7FFF) >> type.fraction;
  const int fraction = bits & ((1 << type.fraction) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (stored > exponents) return fraction ? NAN : sign * INFINITY;
  const int whole = stored == 0 ? 0 : 1 << type.fraction;
  const int exponent = (stored == 0 ? 1 : stored) + type.least - 1;
  return sign * std::ldexp(whole + fraction, exponent - type.fraction);
}

/// To the nearest, ties to even; what lies beyond the greatest becomes infinite.
inline std::uint16_t to_bits(double value, DType dtype) {
  const HalfType type = half_type(dtype);
  const int infinity = (type.greatest - type.least + 2) << type.fraction;
  const int sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return static_cast<std::uint16_t>(infinity | 1 << (type.fraction - 1));
  const double size = std::fabs(value);
  if (size == 0) return static_cast<std::uint16_t>(sign);
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | infinity);
  const int exponent = std::max(std::ilogb(size), type.least);
  // nearbyint rounds ties to even; a carry into the next exponent comes out right by itself.
  const double steps = std::nearbyint(std::ldexp(size, type.fraction - exponent));
  const int bits = ((exponent - type.least) << type.fraction) + static_cast<int>(steps);
  return static_cast<std::uint16_t>(sign | std::min(bits, infinity));
}

}  // namespace fjord
