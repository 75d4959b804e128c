// From every block's sums to the loss and its slopes.
#pragma once

#include "kernels/cuda/loss_table.h"
#include "kernels/cuda/ptx.h"

namespace fjord::cuda {

/// Sums stand one after the other: those of the classes, then two per pixel loss; of each one a
/// value of every block. This is each sum over the blocks, by one warp each, in a fixed order.
__device__ inline void fold_blocks(const double* partial, int blocks, int sums, double* totals) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < sums; i += kThreads / 32) {
    double sum = 0;
    for (int b = lane; b < blocks; b += 32) sum += partial[std::int64_t{i} * blocks + b];
    for (int m = 16; m > 0; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
    if (lane == 0) totals[i] = sum;
  }
}

/// Where the result goes.
struct LossOut {
  double* slopes;
  float* loss;
  bool add;
};

/// The focal loss, once the values of its classes are summed up.
__device__ inline double finish_focal(const LossTable& table, const double* totals, double* values,
                                      double* slopes) {
  const int c = static_cast<int>(threadIdx.x);
  if (c < table.classes) {
    const double* own = totals + table.kinds * c;
    const FocalMean::Value part =
        table.focal_mean()(table.focal_share(c), own[3], {own[4], own[5]});
    values[c] = part.value;
    slopes[2 * c] = part.by_value;
    slopes[2 * c + 1] = part.by_factor;
  }
  __syncthreads();
  double loss = 0;
  for (int k = 0; k < table.classes; ++k) loss += values[k];
  return loss;
}

/// One block, a thread for each class.
static __global__ void __launch_bounds__(kThreads)
    finish_loss(const double* partial, int blocks, LossTable table, LossOut out) {
  const int classes = table.classes, c = static_cast<int>(threadIdx.x);
  auto* const totals = dynamic_shared<double>();
  double* const values = totals + table.sums();
  fold_blocks(partial, blocks, table.sums(), totals);
  __syncthreads();
  RegionSums sums;
  if (c < classes) {
    const double* own = totals + table.kinds * c;
    sums = {own[0], own[1], own[2], table.kinds == kAllKinds ? own[3] : 0};
  }
  double by_p = 0, by_d = 0, loss = 0;
  for (int r = 0; r < table.regions; ++r) {
    const RegionScore score = table.score(r);
    const bool present = c < classes && score.counts(sums);
    RegionValue region;
    if (present) region = score(sums);
    const double share = present ? table.share(r, c) : 0;
    if (c < classes) values[c] = present ? share * region.value : 0;
    __syncthreads();
    double mean = 0;
    for (int k = 0; k < classes; ++k) mean += values[k];
    const RegionPower power = table.power(r);
    const double outer = power.slope(mean);
    loss += power.value(mean);
    by_p += present ? outer * share * region.dp : 0;
    by_d += present ? outer * share * region.dd : 0;
    __syncthreads();
  }
  if (c < classes) {
    out.slopes[2 * c] = by_p;
    out.slopes[2 * c + 1] = by_d;
  }
  if (table.focal) loss += finish_focal(table, totals, values, out.slopes + table.focal_slopes());
  if (c != 0) return;
  for (int k = 0; k < table.pixels; ++k) {
    const PixelScalars pixel = table.pixel(k);
    const double* sum = totals + table.kinds * classes + 2 * k;
    const double factor = pixel_factor(pixel.weight, pixel.divisor > 0 ? pixel.divisor : sum[1]);
    out.slopes[2 * classes + k] = factor;
    loss += factor * sum[0];
  }
  *out.loss = static_cast<float>(out.add ? loss + static_cast<double>(*out.loss) : loss);
}

}  // namespace fjord::cuda
