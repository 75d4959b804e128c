// Conversions between float and the bits of the two 16-bit types: to nearest, ties to even.
#pragma once

#include <bit>
#include <cstdint>

namespace emulation {

std::uint16_t float_to_bf16(float value);
inline float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
std::uint16_t float_to_half(float value);
float half_to_float(std::uint16_t bits);

}  // namespace emulation
