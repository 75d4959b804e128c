// How a convolution's layer becomes cases of its three passes.
#pragma once

#include <vector>

#include "kernels/conv.h"
#include "tests/kernels/op_case.h"

namespace fjord {

struct ConvLayer {
  Shape x;
  std::int64_t outputs;
  Conv2d conv;
  bool bias = false;
  bool winograd = false;  // by these passes, whatever the CPU's rule says
};

/// Adds the forward pass, and both backward passes once for each way to write. Without `compare`
/// only bits are compared.
void add_conv_layer(std::vector<OpCase>& cases, const ConvLayer& layer, std::vector<Write> modes,
                    bool compare);

}  // namespace fjord
