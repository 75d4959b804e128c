// How a layer for inference becomes a case.
#pragma once

#include "kernels/conv_inference.h"
#include "tests/kernels/op_case.h"

namespace fjord {

struct InferenceLayer {
  Shape x;  // where `through`, of the image that is enlarged to twice its size
  std::int64_t outputs = 1;
  Conv2d conv = {};
  bool scale = true, shift = true;
  bool through = false;
  std::int64_t skip = 0;  // channels behind the enlarged ones
  bool residual = false;
  Act act = Act::relu;
  FilterMemory memory = FilterMemory::normal;
  bool winograd = false;  // by these passes, whatever the CPU's rule says
  bool bf16 = false;      // with products of bf16, on CPUs that have them
};

OpCase inference_case(const InferenceLayer& layer);

}  // namespace fjord
