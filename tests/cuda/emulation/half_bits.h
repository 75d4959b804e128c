// Conversions between float and the bits of the two 16-bit types: to nearest, ties to even.
#pragma once

#include <cstdint>

namespace emulation {

std::uint16_t float_to_bf16(float value);
float bf16_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);
float half_to_float(std::uint16_t bits);

}  // namespace emulation
