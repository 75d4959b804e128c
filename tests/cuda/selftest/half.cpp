// The 16-bit types round to nearest, ties to even: all values and the midpoints between.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/cuda/emulation/half_bits.h"

namespace emulation {

namespace {

using ToFloat = float (*)(std::uint16_t);
using FromFloat = std::uint16_t (*)(float);

// Wrong conversions among all finite positive values, the midpoints above them and their
// neighbours.
int wrong(ToFloat to_float, FromFloat from_float, std::uint16_t last) {
  int faults = 0;
  for (std::uint16_t bits = 0; bits < last; ++bits) {
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const float low = to_float(bits), high = to_float(next);
    const double middle = (static_cast<double>(low) + high) / 2;
    const auto at = static_cast<float>(middle);  // exact
    faults += from_float(low) != bits;
    faults += from_float(at) != (bits % 2 == 0 ? bits : next);
    faults += from_float(std::nextafter(at, 0.0f)) != bits;
    faults += from_float(std::nextafter(at, INFINITY)) != next;
    faults += from_float(-low) != (bits | 0x8000);
  }
  return faults;
}

}  // namespace

TEST_CASE("half and bfloat16 round as the hardware does") {
  CHECK(wrong(half_to_float, float_to_half, 0x7BFF) == 0);
  CHECK(wrong(bf16_to_float, float_to_bf16, 0x7F7F) == 0);
  CHECK(half_to_float(0x3C00) == 1);
  CHECK(half_to_float(0x0001) == 0x1p-24f);
  CHECK(float_to_half(65519.996f) == 0x7BFF);
  CHECK(float_to_half(65520) == 0x7C00);
  CHECK(float_to_half(-INFINITY) == 0xFC00);
  CHECK(float_to_half(NAN) == 0x7FFF);
  CHECK(float_to_bf16(NAN) == 0x7FFF);
  CHECK(float_to_bf16(3.4e38f) == 0x7F80);
  CHECK(bf16_to_float(0x3F80) == 1);
}

}  // namespace emulation
