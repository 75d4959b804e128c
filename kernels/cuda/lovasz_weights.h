// From the sorted errors of the Lovasz losses to their values and slopes: a scan over the labels in
// that order gives each error's weight.
#pragma once

#include "kernels/cuda/lovasz_keys.h"

namespace fjord::cuda {

constexpr int kWarps = kThreads / 32, kRounds = 8;
constexpr int kStep = kThreads * kRounds;  // errors of a block between two barriers

// Each segment is cut into `parts`, a block for each, of `length` errors, a multiple of kStep.
struct Parts {
  int parts;
  std::int64_t length;
};

// Sorted keys and what belongs to them. Labels are looked up when they are soft (not null).
template <class Label>
struct SortedErrors {
  LovaszGroup group;
  Parts parts;
  const std::uint64_t* keys;
  const Label* soft;
  int ignored;

  __device__ std::int64_t segment() const { return blockIdx.x / parts.parts; }
  __device__ std::int64_t begin() const { return blockIdx.x % parts.parts * parts.length; }
  __device__ std::int64_t end() const {
    const std::int64_t end = begin() + parts.length;
    return end < group.segment ? end : group.segment;
  }
  __device__ std::int64_t place(std::uint64_t key) const {
    return static_cast<std::int64_t>(key & ((std::uint64_t{1} << group.place_bits) - 1));
  }
  __device__ float label(std::uint64_t key) const {
    if (!soft) return static_cast<float>(key >> 63);
    const std::int64_t problem = group.first_problem + segment();
    return lovasz_label(soft[problem * group.segment + place(key)], ignored);
  }
  /// The k-th error of this block's segment; past its end an error of 0 with label 0.
  __device__ std::uint64_t key(std::int64_t k) const {
    return k < end() ? keys[segment() * group.segment + k] : std::uint64_t{0x7fffffff} << 32;
  }
};

// The labels of each part: sums[block].
template <class Label>
__global__ void __launch_bounds__(kThreads) sum_labels(SortedErrors<Label> sorted, double* sums) {
  double sum = 0;
  for (std::int64_t k = sorted.begin() + threadIdx.x; k < sorted.end(); k += kThreads)
    sum += static_cast<double>(sorted.label(sorted.key(k)));
  sum = block_sum(sum, dynamic_shared<double>());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// A segment's labels in all, and the weight of its loss.
struct Segment {
  double positives, weight;
};

// The sum of the values of all threads before this one; `all` becomes the sum of the block's.
__device__ inline double sum_before(double x, double* shared, double& all) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  double inclusive = x;
  for (int m = 1; m < 32; m *= 2) {
    const double other = __shfl_up_sync(0xffffffffu, inclusive, m);
    if (lane >= m) inclusive += other;
  }
  __syncthreads();
  if (lane == 31) shared[warp] = inclusive;
  __syncthreads();
  double before = 0;
  all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += shared[w];
    all += shared[w];
  }
  return before + (inclusive - x);
}

// One block a segment. sums[part] becomes the sum of the parts before. `found` (null for elements)
// has the pixels of each of the `classes` of the group's problems.
static __global__ void __launch_bounds__(kThreads)
    scan_parts(LovaszGroup group, int parts, double weight, const unsigned* found, int classes,
               double* sums, Segment* segments) {
  auto* const shared = dynamic_shared<double>();
  const std::int64_t segment = blockIdx.x;
  double* const own = sums + segment * parts;
  double carry = 0;
  for (int first = 0; first < parts; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const double x = i < parts ? own[i] : 0;
    double all;
    const double before = sum_before(x, shared, all);
    if (i < parts) own[i] = carry + before;
    carry += all;
  }
  double present = 0;
  if (found) {
    const unsigned* const counts = found + segment / group.classes * classes;
    for (int c = static_cast<int>(threadIdx.x); c < classes; c += kThreads)
      present += counts[c] > 0 ? 1 : 0;
    present = block_sum(present, shared);
  }
  if (threadIdx.x != 0) return;
  const bool takes_part = !found || carry > 0;
  segments[segment] = {carry, takes_part ? weight / (found ? present : 1) : 0};
}

// Where a weight goes: the slope of the segment's class at a place.
struct Slope {
  float* slope;
  int channels;  // of the classes form; 0 for elements
};

template <class Label>
__global__ void __launch_bounds__(kThreads)
    weigh_errors(SortedErrors<Label> sorted, const double* before, const Segment* segments,
                 Slope to, double* values) {
  auto* const shared = dynamic_shared<double>();
  const LovaszGroup group = sorted.group;
  const std::int64_t segment = sorted.segment(), end = sorted.end();
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const double positives = segments[segment].positives;
  const auto weight = static_cast<float>(segments[segment].weight);
  const std::int64_t problem = group.first_problem + segment / group.classes;
  const std::int64_t channel = group.first_class + segment % group.classes;
  double carry = before[blockIdx.x], value = 0;
  for (std::int64_t first = sorted.begin(); first < end; first += kStep) {
    // A warp has kRounds times 32 errors side by side, so that its accesses are whole.
    const std::int64_t own = first + warp * 32 * kRounds + lane;
    std::uint64_t keys[kRounds];
    float labels[kRounds], sum = 0;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      keys[r] = sorted.key(own + 32 * r);
      labels[r] = own + 32 * r < end ? sorted.label(keys[r]) : 0;
      sum += labels[r];
    }
    double warp_sum = static_cast<double>(sum), all;
    for (int m = 16; m > 0; m /= 2) warp_sum += __shfl_xor_sync(0xffffffffu, warp_sum, m);
    double seen = carry + sum_before(lane == 0 ? warp_sum : 0, shared, all);
    seen = __shfl_sync(0xffffffffu, seen, 0);
    carry += all;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      float inclusive = labels[r];
      for (int m = 1; m < 32; m *= 2) {
        const float other = __shfl_up_sync(0xffffffffu, inclusive, m);
        if (lane >= m) inclusive += other;
      }
      const std::int64_t k = own + 32 * r;
      const double sum_here = seen + static_cast<double>(inclusive - labels[r]);
      seen += static_cast<double>(__shfl_sync(0xffffffffu, inclusive, 31));
      if (k >= end) continue;
      const float error = key_error(keys[r]), t = labels[r];
      const double left = positives - sum_here;
      float g = lovasz_step(static_cast<float>(left),
                            static_cast<float>(left + static_cast<double>(k)), t);
      if (error <= 0) g = 0;
      value += static_cast<double>(error * g);
      const std::int64_t place = problem * group.segment + sorted.place(keys[r]);
      const float rising = weight * g;
      if (to.channels == 0)
        to.slope[place] = rising * (1 - 2 * t);
      else
        to.slope[place * to.channels + channel] = t > 0 ? -rising : rising;
    }
  }
  value = block_sum(value, shared);
  if (threadIdx.x == 0) values[blockIdx.x] = segments[segment].weight * value;
}

struct Sum {
  double* total;
  bool first;
  float* loss;  // null before the last group
  bool add;
};

// One block: the values of all parts, in a fixed order.
static __global__ void __launch_bounds__(kThreads)
    add_values(const double* values, int count, Sum to) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += values[i];
  sum = block_sum(sum, dynamic_shared<double>());
  if (threadIdx.x != 0) return;
  if (!to.first) sum += *to.total;
  *to.total = sum;
  if (to.loss) *to.loss = static_cast<float>(to.add ? sum + static_cast<double>(*to.loss) : sum);
}

static __global__ void clear_counts(unsigned* found, int count) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count;
       i += static_cast<int>(gridDim.x * blockDim.x))
    found[i] = 0;
}

}  // namespace fjord::cuda
