// The errors of the Lovasz losses as keys of a sort, and how they are split into sorts.
//
// A key: bit 63 whether the label is 1 (of hard labels), bits 32..62 the error turned round, so
// that ascending keys are descending errors, bits 0..31 which segment it belongs to and its place
// there.
#pragma once

#include <bit>

#include "kernels/cuda/loss_pixels.h"
#include "kernels/cuda/loss_table.h"

namespace fjord::cuda {

/// Errors that are sorted in one go: those of all classes of `problems` problems (batches or
/// images), or of some classes of one. A segment is what belongs together: a class of a problem.
struct LovaszGroup {
  std::int64_t first_problem, problems;
  int first_class, classes;  // of the classes form; 0 and 1 for elements
  std::int64_t segment;      // errors of a segment
  int place_bits;            // of a segment's place in a key

  __host__ __device__ std::int64_t segments() const { return problems * classes; }
  __host__ __device__ std::int64_t errors() const { return segments() * segment; }
  __device__ std::uint64_t place(std::int64_t segment_, std::int64_t at) const {
    return static_cast<std::uint64_t>(segment_) << place_bits | static_cast<std::uint64_t>(at);
  }
};

/// Errors at or below 0 are 0: they add nothing to loss or slope. A NaN comes first, so that it
/// reaches the loss.
__device__ inline std::uint64_t lovasz_key(float error, bool one, std::uint64_t place) {
  if (error <= 0) error = 0;
  const unsigned turned = 0x7fffffffu - (__float_as_uint(error) & 0x7fffffffu);
  return static_cast<std::uint64_t>(one) << 63 | static_cast<std::uint64_t>(turned) << 32 | place;
}
__device__ inline float key_error(std::uint64_t key) {
  return __uint_as_float(0x7fffffffu - (static_cast<unsigned>(key >> 32) & 0x7fffffffu));
}

/// A label as the Lovasz losses take it: 0 where it does not take part.
template <class Label>
__device__ float lovasz_label(Label label, int ignored) {
  return counts(label, ignored) ? value_of(label) : 0.0f;
}

/// Keys of the hinge form: 1 - z (2 t - 1) of every element.
template <class T, class Label>
__global__ void __launch_bounds__(kThreads)
    hinge_keys(LovaszGroup group, const T* z, const Label* label, int ignored,
               std::uint64_t* keys) {
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads, count = group.errors();
  const std::int64_t begin = group.first_problem * group.segment;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Label l = label[begin + i];
    const float t = lovasz_label(l, ignored);
    const float error = counts(l, ignored) ? 1 - to_float(z[begin + i]) * (2 * t - 1) : 0;
    const std::int64_t segment = i / group.segment;
    keys[i] = lovasz_key(error, t == 1, group.place(segment, i - segment * group.segment));
  }
}

/// Keys of the softmax form: |p - t| of every pixel, for the group's classes.
template <class T, bool direct>
__global__ void __launch_bounds__(kThreads)
    class_keys(LovaszGroup group, const T* z, const std::uint8_t* label, PixelLayout layout,
               int ignored, std::uint64_t* keys) {
  auto* const tile = dynamic_shared<float>();
  const int classes = layout.classes, rows = layout.rows();
  const std::int64_t begin = group.first_problem * group.segment;
  const std::int64_t end = begin + group.problems * group.segment;
  // Tiles begin at multiples of their size, which keeps their memory aligned.
  for (std::int64_t first = (begin / rows + blockIdx.x) * rows; first < end;
       first += std::int64_t{gridDim.x} * rows) {
    const int count = static_cast<int>(end - first < rows ? end - first : rows);
    float logits[kHeld], p[kHeld];
    hold_pixels<direct>(z + first * classes, count, layout, tile, -INFINITY, logits);
    pixel_softmax(logits, p, layout.lanes);
    const std::int64_t pixel = first + layout.row() - begin;
    if (layout.row() >= count || pixel < 0) continue;
    const std::int64_t problem = pixel / group.segment, at = pixel - problem * group.segment;
    const int t = class_of(label[begin + pixel], classes, ignored);
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const int c = HeldClass<direct>::of(layout, j), own = c - group.first_class;
      if (c >= classes || own < 0 || own >= group.classes) continue;
      const std::int64_t segment = problem * group.classes + own;
      const float error = t < 0 ? 0 : c == t ? 1 - p[j] : p[j];
      keys[segment * group.segment + at] = lovasz_key(error, c == t, group.place(segment, at));
    }
  }
}

/// Pixels of each class of the group's problems: counts[problem * classes + c], zero before.
static __global__ void __launch_bounds__(kThreads)
    count_labels(LovaszGroup group, const std::uint8_t* label, int classes, int ignored,
                 int blocks_per_problem, unsigned* found) {
  auto* const own = dynamic_shared<unsigned>();
  const int thread = static_cast<int>(threadIdx.x);
  for (int c = thread; c < classes; c += kThreads) own[c] = 0;
  __syncthreads();
  const std::int64_t problem = blockIdx.x / blocks_per_problem;
  const std::int64_t part = blockIdx.x % blocks_per_problem;
  const std::uint8_t* const from = label + (group.first_problem + problem) * group.segment;
  for (std::int64_t i = part * kThreads + thread; i < group.segment;
       i += std::int64_t{blocks_per_problem} * kThreads) {
    const int t = class_of(from[i], classes, ignored);
    if (t >= 0) atomicAdd(own + t, 1u);
  }
  __syncthreads();
  for (int c = thread; c < classes; c += kThreads)
    if (own[c] > 0) atomicAdd(found + problem * classes + c, own[c]);
}

}  // namespace fjord::cuda
