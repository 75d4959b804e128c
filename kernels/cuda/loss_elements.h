// Losses of single logits against labels of their own (binary, multi-label): sums and gradient.
#pragma once

#include <numeric>

#include "kernels/cuda/loss_pixels.h"
#include "kernels/cuda/loss_table.h"

namespace fjord::cuda {

/// What both passes read. Each of a block's `active` threads meets the same classes in every pack
/// of its values, so it knows them once and keeps their sums in registers.
template <class T, class Label>
struct Elements {
  const T* z;
  const Label* label;
  std::int64_t count;
  int classes, active, ignored;
};

/// The threads of a block whose packs of W values, taken together, are whole pixels.
template <int W>
int active_threads(int classes) {
  const int turn = classes / std::gcd(classes, W);
  return kThreads / turn * turn;
}

/// W elements in registers; bit e of `counted` says whether element e takes part.
template <int W>
struct ElementPack {
  Floats<W> z, t;
  unsigned counted = 0;

  template <class T, class Label>
  __device__ void take(const Elements<T, Label>& from, int e, Label label) {
    t[e] = value_of(label);
    counted |= static_cast<unsigned>(counts(label, from.ignored)) << e;
  }
};

template <int W, class T, class Label>
__device__ ElementPack<W> load_elements(const Elements<T, Label>& from, std::int64_t i) {
  ElementPack<W> pack;
  if (i + W <= from.count) {
    pack.z = load_floats<W>(from.z + i);
    const auto labels = load_pack<W>(from.label + i);
#pragma unroll
    for (int e = 0; e < W; ++e) pack.take(from, e, labels[e]);
  } else {
#pragma unroll
    for (int e = 0; e < W; ++e) {
      pack.z[e] = pack.t[e] = 0;
      if (i + e >= from.count) continue;
      pack.z[e] = to_float(from.z[i + e]);
      pack.take(from, e, from.label[i + e]);
    }
  }
  return pack;
}

/// The classes of this thread's packs.
template <int W, bool one>
struct PackClasses {
  int first, classes;

  __device__ explicit PackClasses(int classes)
      : first(one ? 0 : static_cast<int>(threadIdx.x) * W % classes), classes(classes) {}
  __device__ int of(int e) const {
    if (one) return 0;
    int c = first + e;
    while (c >= classes) c -= classes;
    return c;
  }
};

/// Leaves a block's sums of one kind, of `kinds` per class: values[j] belongs to class j % classes.
template <int kinds>
__device__ void leave_class_sums(const float* values, int count, int classes, int kind,
                                 double* partial) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int c = warp; c < classes; c += kThreads / 32) {
    double sum = 0;
    for (int j = c + classes * lane; j < count; j += classes * 32) sum += values[j];
    for (int m = 16; m > 0; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
    if (lane == 0) partial[std::int64_t{kinds * c + kind} * gridDim.x + blockIdx.x] = sum;
  }
}

/// Leaves a block's sums of the pixel losses, of their values and of their labels' weights, from
/// `column` on.
__device__ inline void leave_pixel_sums(const float (&value)[kMostPixelLosses],
                                        const float (&weight)[kMostPixelLosses], int column,
                                        int pixels, double* shared, double* partial) {
#pragma unroll
  for (int k = 0; k < kMostPixelLosses; ++k) {
    if (k >= pixels) break;
    const double values = block_sum(value[k], shared), weights = block_sum(weight[k], shared);
    if (threadIdx.x != 0) continue;
    const std::int64_t own = column + 2 * k;
    partial[own * gridDim.x + blockIdx.x] = values;
    partial[(own + 1) * gridDim.x + blockIdx.x] = weights;
  }
}

/// Bytes of shared memory: a double a warp, the weights, and a value of every thread.
template <int W>
std::size_t element_shared(int classes, int pixels) {
  return sizeof(double) * kThreads / 32 +
         sizeof(float) *
             static_cast<std::size_t>(PixelWeights::size(classes, pixels) + kThreads * W);
}

template <class T, class Label, int W, bool one, int kinds>
__global__ void __launch_bounds__(kThreads)
    sum_elements(Elements<T, Label> from, LossTable table, double* partial) {
  auto* const warps = dynamic_shared<double>();
  auto* const floats = reinterpret_cast<float*>(warps + kThreads / 32);
  const PixelWeights weights = load_weights(table, floats);
  float* const values = floats + PixelWeights::size(from.classes, table.pixels);
  __syncthreads();
  const PackClasses<W, one> classes(from.classes);
  constexpr int kept = one ? 1 : W;
  float sums[kinds][kept] = {}, pixel[kMostPixelLosses] = {};
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t step = std::int64_t{gridDim.x} * from.active * W;
  std::int64_t i = (std::int64_t{blockIdx.x} * from.active + thread) * W;
  for (; thread < from.active && i < from.count; i += step) {
    const ElementPack<W> pack = load_elements<W>(from, i);
#pragma unroll
    for (int e = 0; e < W; ++e) {
      if (!(pack.counted >> e & 1)) continue;
      const float z = pack.z[e], t = pack.t[e];
      if (table.regions > 0) {
        const float p = sigmoid(z);
        sums[0][e % kept] += p;
        sums[1][e % kept] += t;
        sums[2][e % kept] += fabsf(p - t);
      }
      if constexpr (kinds == kAllKinds) sums[3][e % kept] += 1;
      if (kinds == kAllKinds && table.focal) {
        const FocalTerm<float> term = table.formula.value(z, t);
        sums[4][e % kept] += term.value;
        sums[5][e % kept] += term.factor;
      }
#pragma unroll
      for (int k = 0; k < kMostPixelLosses; ++k) {
        if (k >= table.pixels) break;
        const int c = classes.of(e);
        pixel[k] += weights.weight(k, c) * weights.bce(k, c).value(z, t);
      }
    }
  }
#pragma unroll
  for (int kind = 0; kind < kinds; ++kind) {
    __syncthreads();
#pragma unroll
    for (int e = 0; e < kept; ++e) values[thread * kept + e] = sums[kind][e];
    __syncthreads();
    leave_class_sums<kinds>(values, from.active * kept, from.classes, kind, partial);
  }
  const float none[kMostPixelLosses] = {};
  leave_pixel_sums(pixel, none, kinds * from.classes, table.pixels, warps, partial);
}

/// What the gradient is made of and where it goes. `slopes` and `lovasz` may be null.
template <class T>
struct Gradient {
  const double* slopes;
  const float *lovasz, *scale;
  T* dlogits;
  bool add;

  __device__ float factor() const { return scale ? *scale : 1.0f; }
};

/// The slopes as floats in shared memory: two per class, one per pixel loss.
template <class T>
__device__ void load_slopes(const Gradient<T>& gradient, const LossTable& table, float* shared) {
  const int count = table.slopes();
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads)
    shared[i] = gradient.slopes ? static_cast<float>(gradient.slopes[i]) : 0.0f;
}

/// By logit z, of the focal loss; `slopes` are those of its class.
__device__ inline float focal_gradient(const Focal<float>& formula, const float* slopes, float z,
                                       float p, float t) {
  const FocalTerm<float> term = formula.gradient(z, p, t);
  return slopes[0] * term.value + slopes[1] * term.factor;
}

template <class T, class Label, int W, bool one, bool focal>
__global__ void __launch_bounds__(kThreads)
    element_gradient(Elements<T, Label> from, LossTable table, Gradient<T> to) {
  auto* const slopes = dynamic_shared<float>();
  const PixelWeights weights = load_weights(table, slopes + table.slopes());
  load_slopes(to, table, slopes);
  __syncthreads();
  const PackClasses<W, one> classes(from.classes);
  const float factor = to.factor();
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t step = std::int64_t{gridDim.x} * from.active * W;
  std::int64_t i = (std::int64_t{blockIdx.x} * from.active + thread) * W;
  for (; thread < from.active && i < from.count; i += step) {
    const ElementPack<W> pack = load_elements<W>(from, i);
    const bool whole = i + W <= from.count;
    Floats<W> dz;
#pragma unroll
    for (int e = 0; e < W; ++e) dz[e] = 0;
    if (to.lovasz && whole) dz = load_floats<W>(to.lovasz + i);
#pragma unroll
    for (int e = 0; e < W; ++e) {
      if (!(pack.counted >> e & 1)) {
        dz[e] = 0;
        continue;
      }
      if (to.lovasz && !whole) dz[e] = to.lovasz[i + e];
      const int c = classes.of(e);
      const float t = pack.t[e], p = sigmoid(pack.z[e]);
      if (to.slopes) dz[e] += (slopes[2 * c] + slopes[2 * c + 1] * sign(p - t)) * (p * (1 - p));
      for (int k = 0; to.slopes && k < table.pixels; ++k)
        dz[e] +=
            slopes[2 * from.classes + k] * weights.weight(k, c) * weights.bce(k, c).gradient(p, t);
      if (focal && to.slopes)
        dz[e] +=
            focal_gradient(table.formula, slopes + table.focal_slopes() + 2 * c, pack.z[e], p, t);
      dz[e] *= factor;
    }
    if (whole) {
      write_floats<W>(to.dlogits + i, dz, to.add);
    } else {
#pragma unroll
      for (int e = 0; e < W; ++e)
        if (i + e < from.count) write_floats<1>(to.dlogits + i + e, Floats<1>{dz[e]}, to.add);
    }
  }
}

}  // namespace fjord::cuda
