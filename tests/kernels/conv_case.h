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

struct ConvLayer {
  Shape x;
  std::int64_t outputs;
  Conv2d conv;
  bool bias = false;
  bool winograd = false;  // by these passes, whatever the CPU's rule says
  bool timed = false;     // on a card the fastest plan, of all libraries; elsewhere as ever
};

/// Adds the forward pass, and both backward passes once for each way to write. Without `compare`
/// only bits are compared.
void add_conv_layer(std::vector<OpCase>& cases, const ConvLayer& layer, std::vector<Write> modes,
                    bool compare);

}  // namespace fjord
