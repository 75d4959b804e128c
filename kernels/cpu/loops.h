// The inner loops of the CPU kernels: compiled once per instruction set, chosen at start.
//
// Rules for loops_*.cpp: raw loops and FJORD_HD functions only. An inline function of the standard
// library that the compiler leaves out of line would be merged by the linker with every other
// file's copy, and a CPU without AVX-512 would then run AVX-512 code.
#pragma once

#include <cstdint>

#include "kernels/activation_math.h"
#include "kernels/optimizer_math.h"

namespace fjord {

/// A block of `pixels` rows of `channels` values each, contiguous.
struct Rows {
  std::int64_t pixels, channels;
};

/// Arguments of a normalisation's forward pass over a block. Null: absent.
struct NormApply {
  const float *x, *scale, *shift, *residual;
  float* y;
  bool relu, add;
};

/// Arguments of its backward passes. The ReLU's mask is that of y, or recomputed from x.
struct NormBackward {
  const float *x, *y, *dy, *scale, *shift;
  const float *mean = nullptr, *mean_dz = nullptr, *slope = nullptr;
  float *dx = nullptr, *dresidual = nullptr;
  bool relu = false, add_dx = false, add_dresidual = false;
};

/// One row of a max-pool's output, or of its input going backward.
struct PoolRow {
  std::int64_t h, w, channels, out_h, out_w, row;
  int kernel, stride, padding;
};

/// One row of a 3x3 convolution of stride 1 with few outputs, or of its filter's gradient. x is one
/// image; the first of the three input rows is `row`, which may lie outside, as columns may.
struct FewOutputs {
  const float* x;
  std::int64_t h, w, channels, out_w, row, padding;
  int outputs;
  const float *weight = nullptr, *bias = nullptr, *dy = nullptr;
  float* y = nullptr;
};

/// Rows [begin, end) of one image's output in a depthwise convolution: to be computed, or of whose
/// gradient that of the filters is the sum.
struct Depthwise {
  const float* x;
  std::int64_t h, w, channels, out_w, begin, end;
  int kernel, stride, padding;
  const float* filters = nullptr;  // tap by tap: kernel x kernel x channels
  const float *bias = nullptr, *dy = nullptr;
  float* y = nullptr;
};

/// A block of `width` outputs, a multiple of a vector, to packed[channel][output]. In `filters` the
/// channels lie side by side, and an output `filter` floats after the one before. `outputs` are
/// left from the block's first on, which may be more than `width`; those that are missing become 0.
struct OutputBlock {
  const float* filters;
  std::int64_t filter, outputs, channels;
  float* packed;
  std::int64_t width;
};

struct Loops {
  int width;  // values of a vector

  // Pointwise, `count` values.
  void (*relu)(const float* x, float* y, std::int64_t count, bool add);
  void (*relu_backward)(const float* y, const float* dy, float* dx, std::int64_t count, bool add);
  void (*add)(const float* a, const float* b, float* y, std::int64_t count, bool add);
  void (*copy)(const float* x, float* y, std::int64_t count, bool add);
  void (*activate)(const float* x, float* y, std::int64_t count, Act, bool add);  // y may be x
  void (*activate_backward)(const float* x, const float* dy, float* dx, std::int64_t count, Act,
                            bool add);
  double (*sum_of_squares)(const float* x, std::int64_t count);

  /// y = factor * scale * x; x null: ones.
  void (*channel_scale)(Rows, const float* x, const float* scale, float factor, float* y, bool add);

  // Per channel. The sums are added to.
  void (*channel_sums)(Rows, const float* x, double* sum);
  void (*channel_products)(Rows, const float* a, const float* b, double* sum);
  void (*channel_deviations)(Rows, const float* x, const float* mean, double* sum_of_squares);
  void (*norm_apply)(Rows, const NormApply&);
  void (*norm_backward_sums)(Rows, const NormBackward&, double* sum_dz, double* sum_dz_centered);
  void (*norm_backward_apply)(Rows, const NormBackward&);
  void (*scale_backward)(Rows, const NormBackward&);

  // Forward x is one image, y and tap start at the row; backward dy and tap are one image, dx
  // starts at the row.
  void (*max_pool)(const PoolRow&, const float* x, float* y, std::uint8_t* tap);
  void (*max_pool_backward)(const PoolRow&, const float* dy, const std::uint8_t* tap, float* dx,
                            bool add);

  void (*few_outputs)(const FewOutputs&);
  /// The sums, laid out as the filters, are added to.
  void (*few_outputs_gradient)(const FewOutputs&, double* sums);
  void (*depthwise)(const Depthwise&);
  void (*depthwise_gradient)(const Depthwise&, double* sums);
  void (*pack_outputs)(const OutputBlock&);

  void (*adamw)(const float* dweight, float* weight, float* first, float* second,
                std::int64_t count, const AdamWScalars<float>&);
  void (*sgd)(const float* dweight, float* weight, std::int64_t count, const SgdScalars<float>&);
  void (*sgd_momentum)(const float* dweight, float* weight, float* velocity, std::int64_t count,
                       bool first_step, bool nesterov, const SgdScalars<float>&);
  void (*ema)(const float* weight, float* average, std::int64_t count, float one_minus_decay);
};

/// The loops of the instruction set that enable_cpu_kernels chose.
const Loops& loops();

namespace plain {
extern const Loops table;
}
namespace avx2 {  // this one and the next exist on x86 alone
extern const Loops table;
}
namespace avx512 {
extern const Loops table;
}

}  // namespace fjord
