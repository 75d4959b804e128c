// What a convolution added up beside its result, made what batch normalisation wants.
#include "kernels/cuda/conv_sums.h"

#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

/// The two rows of ConvSumOperands.
struct Rows {
  const float *first, *second;
};

Rows rows_of(const ConvSumOperands& sums) {
  return {static_cast<const float*>(sums.first), static_cast<const float*>(sums.second)};
}

unsigned blocks_of(std::int64_t channels) {
  return static_cast<unsigned>(divide_up(channels, kThreads));
}

// The sums are of floats about a centre, so a variance is off by their rounding times
// 1 + ((mean - centre) / deviation)^2. Behind the first steps the running mean is nearer than a
// deviation; at their start, from 0, a mean of ten deviations costs two of the seven digits.
__global__ void __launch_bounds__(kThreads)
    sums_to_moments(std::int64_t channels, double pixels, Rows sums,
                    const float* __restrict__ center, Target<float> mean, Target<float> variance) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= channels) return;
  const double off = static_cast<double>(sums.first[c]) / pixels;
  const double rest = static_cast<double>(sums.second[c]) / pixels - off * off;
  write_value(mean, c, static_cast<double>(center[c]) + off);
  write_value(variance, c, rest < 0 ? 0 : rest);  // a NaN stays one
}

__global__ void __launch_bounds__(kThreads)
    sums_to_gradients(std::int64_t channels, Rows rows, const float* __restrict__ inv_std,
                      Target<float> sums, Target<float> dgamma, Target<float> dbeta) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= channels) return;
  const double dz = static_cast<double>(rows.first[c]);
  const double dz_xhat = static_cast<double>(rows.second[c]) * static_cast<double>(inv_std[c]);
  write_value(sums, c, dz);
  write_value(sums, channels + c, dz_xhat);
  write_value(dbeta, c, dz);
  write_value(dgamma, c, dz_xhat);
}

}  // namespace

void moments_of_sums(const ConvSumOperands& sums, std::int64_t pixels, Out mean, Out variance,
                     Stream& stream) {
  const std::int64_t channels = mean.shape().c;
  launch(sums_to_moments, blocks_of(channels), kThreads, 0, stream, channels,
         static_cast<double>(pixels), rows_of(sums), static_cast<const float*>(sums.center),
         target<float>(mean), target<float>(variance));
}

void gradients_of_sums(const ConvSumOperands& sums, In inv_std, const NormGradientOutputs& to,
                       Stream& stream) {
  const std::int64_t channels = inv_std.shape().c;
  launch(sums_to_gradients, blocks_of(channels), kThreads, 0, stream, channels, rows_of(sums),
         inv_std.as<float>(), target<float>(to.sums), target<float>(to.dgamma),
         target<float>(to.dbeta));
}

}  // namespace fjord::cuda
