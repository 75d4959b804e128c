// Values of the emulated card's tensors, for the libraries' stand-ins.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/kernel.h"

namespace fjord::cuda {

inline float value_at(const void* data, DType type, std::size_t i) {
  if (type == DType::bf16) return static_cast<const __nv_bfloat16*>(data)[i];
  if (type == DType::f16) return static_cast<const __half*>(data)[i];
  return static_cast<const float*>(data)[i];
}

inline void put(void* data, DType type, std::size_t i, float value) {
  if (type == DType::bf16)
    static_cast<__nv_bfloat16*>(data)[i] = value;
  else if (type == DType::f16)
    static_cast<__half*>(data)[i] = value;
  else
    static_cast<float*>(data)[i] = value;
}

}  // namespace fjord::cuda
