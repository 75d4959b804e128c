// Losses of a softmax over the channels against class labels: sums and gradient.
#pragma once

#include "kernels/cuda/loss_elements.h"

namespace fjord::cuda {

/// What both passes read.
template <class T>
struct Pixels {
  const T* z;
  const std::uint8_t* label;
  std::int64_t count;
  PixelLayout layout;
  int ignored;

  /// Pixels of a block's tile, and the class of this thread's pixel, -1 for none.
  __device__ int in_tile(std::int64_t first) const {
    const std::int64_t left = count - first, rows = layout.rows();
    return static_cast<int>(left < rows ? left : rows);
  }
  __device__ int class_at(std::int64_t first) const {
    if (layout.row() >= in_tile(first)) return -1;
    return class_of(label[first + layout.row()], layout.classes, ignored);
  }
};

/// Bytes of shared memory: a double a warp or the slopes, the weights, a tile of pixels.
inline std::size_t class_shared(const PixelLayout& layout, const LossTable& table, bool gradient) {
  const int first = gradient ? table.slopes() : 2 * kThreads / 32;
  return sizeof(float) *
         static_cast<std::size_t>(first + PixelWeights::size(layout.classes, table.pixels) +
                                  layout.floats());
}

constexpr float kNoLogit = -INFINITY;

/// Adds this thread's logits to the counts, and to the focal loss's sums: by sigmoids of the logits
/// as they are, before the softmax.
template <bool direct>
__device__ void add_focal_sums(const LossTable& table, const PixelLayout& layout,
                               const float (&z)[kHeld], int t, float (&sums)[kAllKinds][kHeld]) {
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int c = HeldClass<direct>::of(layout, j);
    if (c >= layout.classes) continue;
    sums[3][j] += 1;
    if (!table.focal) continue;
    const FocalTerm<float> term = table.formula.value(z[j], c == t ? 1.0f : 0.0f);
    sums[4][j] += term.value;
    sums[5][j] += term.factor;
  }
}

template <class T, bool direct, int kinds>
__global__ void __launch_bounds__(kThreads, kinds == kAllKinds ? 2 : 3)
    sum_classes(Pixels<T> from, LossTable table, double* partial) {
  const PixelLayout layout = from.layout;
  const int classes = layout.classes;
  auto* const warps = dynamic_shared<double>();
  auto* const floats = reinterpret_cast<float*>(warps + kThreads / 32);
  const PixelWeights weights = load_weights(table, floats);
  float* const tile = floats + PixelWeights::size(classes, table.pixels);
  __syncthreads();
  float sums[kinds][kHeld] = {}, value[kMostPixelLosses] = {}, weight[kMostPixelLosses] = {};
  const std::int64_t step = std::int64_t{gridDim.x} * layout.rows();
  for (std::int64_t first = std::int64_t{blockIdx.x} * layout.rows(); first < from.count;
       first += step) {
    float z[kHeld], p[kHeld];
    hold_pixels<direct>(from.z + first * classes, from.in_tile(first), layout, tile, kNoLogit, z);
    const int t = from.class_at(first);
    if constexpr (kinds == kAllKinds) {
      if (t >= 0) add_focal_sums<direct>(table, layout, z, t, sums);
    }
    const float log_sum = pixel_softmax(z, p, layout.lanes);
    if (t < 0) continue;
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j);
      if (c >= classes) continue;
      const float hot = c == t ? 1.0f : 0.0f;
      sums[0][j] += p[j];
      sums[1][j] += hot;
      sums[2][j] += fabsf(p[j] - hot);
      // A sum over classes is shared out over the threads of the pixel: each adds those it holds.
      const float log_p = z[j] - log_sum;
#pragma unroll
      for (int k = 0; k < kMostPixelLosses; ++k) {
        if (k >= table.pixels) break;
        const float own = weights.weight(k, c);
        value[k] += weights.softce(k).value(c == t ? own : 0, c == t ? log_p : 0, own * log_p);
        weight[k] += hot * own;
      }
    }
  }
#pragma unroll
  for (int kind = 0; kind < kinds; ++kind) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j);
      if (c < classes) tile[layout.row() * classes + c] = sums[kind][j];
    }
    __syncthreads();
    leave_class_sums<kinds>(tile, layout.rows() * classes, classes, kind, partial);
  }
  leave_pixel_sums(value, weight, kinds * classes, table.pixels, warps, partial);
}

/// By this thread's logits, of the focal loss.
template <bool direct>
__device__ void focal_gradients(const LossTable& table, const PixelLayout& layout,
                                const float* slopes, const float (&z)[kHeld], int t,
                                float (&by_z)[kHeld]) {
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int c = HeldClass<direct>::of(layout, j);
    if (c < layout.classes)
      by_z[j] = focal_gradient(table.formula, slopes + table.focal_slopes() + 2 * c, z[j],
                               sigmoid(z[j]), c == t ? 1.0f : 0.0f);
  }
}

template <class T, bool direct, bool focal>
__global__ void __launch_bounds__(kThreads, focal ? 2 : 3)
    class_gradient(Pixels<T> from, LossTable table, Gradient<T> to) {
  const PixelLayout layout = from.layout;
  const int classes = layout.classes;
  auto* const slopes = dynamic_shared<float>();
  float* const after = slopes + table.slopes();
  const PixelWeights weights = load_weights(table, after);
  float* const tile = after + PixelWeights::size(classes, table.pixels);
  load_slopes(to, table, slopes);
  __syncthreads();
  const float factor = to.factor();
  const std::int64_t step = std::int64_t{gridDim.x} * layout.rows();
  for (std::int64_t first = std::int64_t{blockIdx.x} * layout.rows(); first < from.count;
       first += step) {
    const int count = from.in_tile(first), t = from.class_at(first);
    float z[kHeld], p[kHeld], dz[kHeld] = {}, by_focal[kHeld];
    hold_pixels<direct>(from.z + first * classes, count, layout, tile, kNoLogit, z);
    if (to.lovasz) hold_pixels<direct>(to.lovasz + first * classes, count, layout, tile, 0, dz);
    if constexpr (focal) focal_gradients<direct>(table, layout, slopes, z, t, by_focal);
    pixel_softmax(z, p, layout.lanes);
    float mean = 0;  // of the derivative by p, under p: softmax's gradient is p (dp - mean)
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j);
      if (c >= classes) continue;
      dz[j] += slopes[2 * c] + slopes[2 * c + 1] * sign(p[j] - (c == t ? 1.0f : 0.0f));
      mean += p[j] * dz[j];
    }
    mean = pixel_sum(mean, layout.lanes);
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j);
      if (c >= classes) continue;
      dz[j] = p[j] * (dz[j] - mean);
      for (int k = 0; to.slopes && t >= 0 && k < table.pixels; ++k)
        dz[j] += slopes[2 * classes + k] * weights.softce(k).gradient(weights.weight(k, t), c == t,
                                                                      p[j], weights.weight(k, c),
                                                                      weights.total(k));
      if constexpr (focal) dz[j] += by_focal[j];
      dz[j] = t >= 0 ? dz[j] * factor : 0.0f;
    }
    release_pixels<direct>(dz, count, layout, tile, to.dlogits + first * classes, to.add);
  }
}

}  // namespace fjord::cuda
