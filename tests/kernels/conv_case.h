// How a convolution's layer becomes cases of its three passes.
#pragma once

#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/conv_rule.h"
#include "tests/kernels/op_case.h"

namespace fjord {

/// The 36 products of Winograd's 4x4 tiles have larger terms than the outputs that they cancel to:
/// docs/cpu-speed.md derives 8.2 for outputs and 6.6 for filters, times what a plain sum would
/// have.
inline constexpr double winograd_amplification = 8.2;

/// What the rounding error of a layer's passes may be, in units of a plain sum's. `forced`:
/// Winograd computes it whatever the CPU's rule says.
inline double amplification_of(const ConvShape& shape, bool forced = false) {
  return forced || winograd_is_faster(shape, {}) ? winograd_amplification : 1;
}

/// The same of products of bf16. Factors are off by up to 2^-9 each, by 2^-10 rms, and so is a sum
/// of their products relative to its own size, however long; 8 covers the tail over all the values
/// of ten thousand tensors. That size may be sqrt(3) times the tensor's rms: of few factors that
/// are all near 1, of a channel that is scaled so, of a pixel with all taps among pixels at edges.
/// Where values are `rectified`, ReLU leaves 1/sqrt(2) of the rms.
double bf16_amplification(std::int64_t reduction, bool rectified = false);

/// Of products on that stream: bf16 where it is asked for and the CPU has it.
ConvMath math_on(const Stream& stream, bool bf16);

struct ConvLayer {
  Shape x;
  std::int64_t outputs;
  Conv2d conv;
  bool bias = false;
  bool winograd = false;  // by these passes, whatever the CPU's rule says
  bool bf16 = false;      // with products of bf16, on CPUs that have them
  bool timed = false;     // on a card the fastest plan, of all libraries; elsewhere as ever
};

/// Adds the forward pass, and both backward passes once for each way to write. Without `compare`
/// only bits are compared.
void add_conv_layer(std::vector<OpCase>& cases, const ConvLayer& layer, std::vector<Write> modes,
                    bool compare);

}  // namespace fjord
