// What the loop files share: declarations in the namespace of the instruction set they are
// compiled for (FJORD_ISA). Included by loops_*.cpp alone.
#pragma once

#include "kernels/cpu/loops.h"

namespace fjord::FJORD_ISA {

void relu(const float* x, float* y, std::int64_t count, bool add);
void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count, bool add);
void add(const float* a, const float* b, float* y, std::int64_t count, bool add);
void copy(const float* x, float* y, std::int64_t count, bool add);
void activate(const float* x, float* y, std::int64_t count, Act act, bool add);
void activate_backward(const float* x, const float* dy, float* dx, std::int64_t count, Act act,
                       bool add);
double sum_of_squares(const float* x, std::int64_t count);

void channel_scale(Rows, const float* x, const float* scale, float factor, float* y, bool add);
void channel_sums(Rows, const float* x, double* sum);
void channel_products(Rows, const float* a, const float* b, double* sum);
void channel_deviations(Rows, const float* x, const float* mean, double* sum_of_squares);
void norm_apply(Rows, const NormApply&);
void norm_backward_sums(Rows, const NormBackward&, double* sum_dz, double* sum_dz_centered);
void norm_backward_apply(Rows, const NormBackward&);
void scale_backward(Rows, const NormBackward&);

void max_pool(const PoolRow&, const float* x, float* y, std::uint8_t* tap);
void max_pool_backward(const PoolRow&, const float* dy, const std::uint8_t* tap, float* dx,
                       bool add);

void few_outputs(const FewOutputs&);
void few_outputs_gradient(const FewOutputs&, double* sums);
void depthwise(const Depthwise&);
void depthwise_gradient(const Depthwise&, double* sums);
void pack_outputs(const OutputBlock&);

void adamw(const float* dweight, float* weight, float* first, float* second, std::int64_t count,
           const AdamWScalars<float>&);
void sgd(const float* dweight, float* weight, std::int64_t count, const SgdScalars<float>&);
void sgd_momentum(const float* dweight, float* weight, float* velocity, std::int64_t count,
                  bool first_step, bool nesterov, const SgdScalars<float>&);
void ema(const float* weight, float* average, std::int64_t count, float one_minus_decay);

/// Few channels leave most of a vector empty, so several pixels are treated as one of `width`
/// values: a multiple of the channels and of a vector.
constexpr std::int64_t kNarrowChannels = 64, kWideLimit = 16 * 64;
FJORD_HD std::int64_t pixels_per_wide(std::int64_t channels) {
  if (channels >= kNarrowChannels) return 1;
  std::int64_t count = 1;
  while (count * channels % 16 != 0) count *= 2;
  while (count * channels < 64) count *= 2;
  return count;
}

/// The per-channel vector repeated for each pixel of a wide one.
struct Wide {
  float values[kWideLimit];
  FJORD_HD const float* fill(const float* source, std::int64_t channels, std::int64_t count) {
    if (!source) return nullptr;
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t c = 0; c < channels; ++c) values[i * channels + c] = source[c];
    return values;
  }
};

}  // namespace fjord::FJORD_ISA
