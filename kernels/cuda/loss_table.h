// The attributes of the region and pixel losses as one row of doubles that kernels can read.
#pragma once

#include <algorithm>
#include <climits>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/loss.h"
#include "kernels/loss_math.h"

namespace fjord::cuda {

/// A block has a thread for each class where the loss is computed from the sums.
constexpr int kMostClasses = 256;
/// Sums of pixel losses are kept in registers.
constexpr int kMostPixelLosses = 4;

/// A label that takes part in nothing; INT_MIN when there is none.
inline int ignored_label(const LabelRule& rule) { return rule.ignore.value_or(INT_MIN); }

/// The class of a u8 label, or -1 when it is ignored or no class.
__device__ inline int class_of(std::uint8_t label, int classes, int ignored) {
  return label >= classes || label == ignored ? -1 : label;
}

/// Whether an element's label takes part: u8 (0 or 1), or soft.
__device__ inline bool counts(std::uint8_t label, int ignored) {
  return class_of(label, 2, ignored) >= 0;
}
template <class T>
__device__ bool counts(T label, int ignored) {
  return ignored == INT_MIN || to_float(label) != static_cast<float>(ignored);
}
__device__ inline float value_of(std::uint8_t label) { return static_cast<float>(label); }
template <class T>
__device__ float value_of(T label) {
  return to_float(label);
}

/// How a pixel loss's sum becomes its part of the loss.
struct PixelScalars {
  double weight, divisor;  // divisor 0: the sum of the labels' weights
};

/// Kinds of sums per class: RegionSums without the count; with it, and the focal loss's two.
constexpr int kFewKinds = 3, kAllKinds = 6;

/// A kernel's argument. Few values travel with it, more of them lie in the workspace.
struct LossTable {
  static constexpr int kInside = 448;  // arguments may have 4 KB

  int classes = 0, regions = 0, pixels = 0;
  int kinds = kFewKinds;  // of sums per class
  bool focal = false;
  Focal<float> formula = {};  // of the focal loss
  const double* outside = nullptr;
  double inside[kInside] = {};

  __device__ double at(int i) const { return outside ? outside[i] : inside[i]; }

  static constexpr int kRegion = 8, kPixel = 5, kFocal = 3;  // values before those of the classes
  __host__ __device__ int region_at(int r) const { return r * (kRegion + classes); }
  __host__ __device__ int pixel_at(int k) const {
    return region_at(regions) + k * (kPixel + 2 * classes);
  }
  __host__ __device__ int focal_at() const { return pixel_at(pixels); }
  /// loss_slope_count(), and where those of the focal loss begin.
  __host__ __device__ int slopes() const { return focal_slopes() + (focal ? 2 * classes : 0); }
  __host__ __device__ int focal_slopes() const { return 2 * classes + pixels; }
  /// All sums: of every class, then two per pixel loss.
  __host__ __device__ int sums() const { return kinds * classes + 2 * pixels; }

  __device__ RegionPower power(int r) const {
    const int i = region_at(r);
    return {at(i), at(i + 1), at(i + 7) != 0};
  }
  __device__ RegionScore score(int r) const {
    const int i = region_at(r) + 2;
    const double eps = at(i + 3);  // below 0: of the logarithm
    return {{at(i), at(i + 1), at(i + 2), eps < 0 ? -eps : eps, eps < 0},
            static_cast<RegionScore::Kind>(static_cast<int>(at(i + 4)))};
  }
  __device__ double share(int r, int c) const { return at(region_at(r) + kRegion + c); }
  __device__ PixelScalars pixel(int k) const {
    const int i = pixel_at(k);
    return {at(i), at(i + 1)};
  }
  __device__ FocalMean focal_mean() const {
    const int i = focal_at();
    return {at(i), at(i + 1) != 0, at(i + 2) != 0};
  }
  __device__ double focal_share(int c) const { return at(focal_at() + kFocal + c); }
};

/// The values of `terms` in the order of LossTable.
std::vector<double> table_values(const LossTerms& terms, Shape logits);

/// A table with these values; `outside` has room for them in the workspace (outside_bytes).
LossTable make_table(const LossTerms& terms, Shape logits, double* outside, Stream& stream);
std::size_t outside_bytes(const LossTerms& terms, Shape logits);

/// The pixel losses' attributes as floats in shared memory.
struct PixelWeights {
  const float* values;
  int classes;

  static constexpr int kScalars = 3;
  __host__ __device__ static int size(int classes, int pixels) {
    return pixels * (kScalars + 2 * classes);
  }
  __device__ const float* of(int k) const { return values + k * (kScalars + 2 * classes); }
  __device__ float smooth(int k) const { return of(k)[0]; }
  __device__ float uniform(int k) const { return of(k)[1]; }
  __device__ float total(int k) const { return of(k)[2]; }
  __device__ float positive(int k, int c) const { return of(k)[kScalars + c]; }
  __device__ float weight(int k, int c) const { return of(k)[kScalars + classes + c]; }

  __device__ Bce<float> bce(int k, int c) const { return {smooth(k), positive(k, c)}; }
  __device__ SoftCe<float> softce(int k) const { return {smooth(k), uniform(k)}; }
};

/// Every thread of a block calls it; a barrier has to follow before the weights are read.
__device__ inline PixelWeights load_weights(const LossTable& table, float* shared) {
  const int each = PixelWeights::kScalars + 2 * table.classes;
  for (int i = static_cast<int>(threadIdx.x); i < table.pixels * each;
       i += static_cast<int>(blockDim.x)) {
    const int k = i / each, j = i % each, from = table.pixel_at(k);
    shared[i] = static_cast<float>(table.at(from + LossTable::kPixel - PixelWeights::kScalars + j));
  }
  return {shared, table.classes};
}

}  // namespace fjord::cuda
