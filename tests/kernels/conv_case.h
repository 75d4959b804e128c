// How a convolution's layer becomes cases of its three passes.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/conv_rule.h"
#include "kernels/cpu/winograd/loops.h"
#include "tests/kernels/op_case.h"

namespace fjord {

/// The 36 products of Winograd's 4x4 tiles have larger terms than the outputs that they cancel to:
/// docs/cpu-speed.md derives 8.2 for outputs and 6.6 for filters, times what a plain sum would
/// have.
inline constexpr double winograd_amplification = 8.2;

/// What the rounding error of a layer's passes may be, in units of a plain sum's. `forced`:
/// Winograd computes it whatever the CPU's rule says.
inline double amplification_of(const ConvShape& shape, bool forced = false) {
  return forced || winograd_is_faster(shape) ? winograd_amplification : 1;
}

/// What the rms of errors of products of bf16 may be, relative to the values': both factors are off
/// by up to 2^-8, by less than 2^-9 rms, and a product's error arrives as many times larger:
/// docs/cpu-speed.md derives 2.86 in a dimension, 4.54 where an image of one tile is mostly
/// padding.
constexpr double bf16_rms_error(const ConvShape& s) {
  const auto in_dimension = [](std::int64_t x, std::int64_t y) {
    return std::min(x, y) <= kWinogradTile ? 4.54 : 2.86;
  };
  return 1.4142 * 0x1p-9 * in_dimension(s.x.h, s.y.h) * in_dimension(s.x.w, s.y.w);
}

/// Of products on that stream: bf16 where it is asked for and the CPU has it.
ConvMath math_on(const Stream& stream, bool bf16);

struct ConvLayer {
  Shape x;
  std::int64_t outputs;
  Conv2d conv;
  bool bias = false;
  bool winograd = false;   // by these passes, whatever the CPU's rule says
  bool depthwise = false;  // forward and the filter's gradient by hand, whatever the rule says
  bool bf16 = false;       // with products of bf16, on CPUs that have them
  bool timed = false;      // on a card the fastest plan, of all libraries; elsewhere as ever
};

/// Adds the forward pass, and both backward passes once for each way to write. Without `compare`
/// only bits are compared.
void add_conv_layer(std::vector<OpCase>& cases, const ConvLayer& layer, std::vector<Write> modes,
                    bool compare);

}  // namespace fjord
