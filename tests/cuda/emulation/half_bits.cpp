// Conversions of the 16-bit types, as the hardware does them; every NaN becomes 0x7FFF.
#include "tests/cuda/emulation/half_bits.h"

#include <bit>
#include <cmath>

namespace emulation {

namespace {

constexpr std::uint16_t kNan = 0x7FFF;

std::uint16_t with_sign(std::uint32_t magnitude, float value) {
  return static_cast<std::uint16_t>(magnitude | (std::signbit(value) ? 0x8000u : 0u));
}

// Drops the lowest `bits` bits.
std::uint32_t round_off(std::uint32_t value, int bits) {
  const std::uint32_t half = (1u << (bits - 1)) - 1 + (value >> bits & 1);
  return (value + half) >> bits;
}

}  // namespace

std::uint16_t float_to_bf16(float value) {
  if (std::isnan(value)) return kNan;
  return static_cast<std::uint16_t>(round_off(std::bit_cast<std::uint32_t>(std::abs(value)), 16) |
                                    (std::signbit(value) ? 0x8000u : 0u));
}

std::uint16_t float_to_half(float value) {
  if (std::isnan(value)) return kNan;
  const float magnitude = std::abs(value);
  if (magnitude >= 65520) return with_sign(0x7C00, value);
  // Below the smallest normal number a unit is 2^-24: adding 0.5 has the processor round to it.
  if (magnitude < 0x1p-14f)
    return with_sign(std::bit_cast<std::uint32_t>(magnitude + 0.5f) - 0x3F000000u, value);
  constexpr std::uint32_t rebias = (127 - 15) << 23;
  return with_sign(round_off(std::bit_cast<std::uint32_t>(magnitude) - rebias, 13), value);
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  float magnitude = 0;
  if (exponent == 31)
    magnitude = std::bit_cast<float>(0x7F800000u | fraction << 13);
  else if (exponent == 0)
    magnitude = static_cast<float>(fraction) * 0x1p-24f;
  else
    magnitude = std::bit_cast<float>((exponent + 127 - 15) << 23 | fraction << 13);
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace emulation
