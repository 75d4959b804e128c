// How sums by channel become what batch normalisation's backward pass leaves, and its second half.
#pragma once

#include "kernels/conv_norm.h"
#include "kernels/cpu/loops.h"

namespace fjord {

/// Value i of a tensor, stored or added; nothing where that is absent.
inline void put(Out out, std::int64_t i, double value) {
  if (!out) return;
  float& target = out.as<float>()[i];
  target =
      static_cast<float>(out.write == Write::add ? static_cast<double>(target) + value : value);
}

/// Of channel c of `channels`, from the sums of dz and of dz * (x - mean).
inline void put_gradient_sums(const NormGradientOutputs& to, std::int64_t channels, std::int64_t c,
                              double dz, double dz_centered, In inv_std) {
  const double dz_xhat = dz_centered * static_cast<double>(inv_std.as<float>()[c]);
  put(to.sums, c, dz);
  put(to.sums, channels + c, dz_xhat);
  put(to.dbeta, c, dz);
  put(to.dgamma, c, dz_xhat);
}

/// What the second half takes off of x's and dz's channels, from their sums over `count` pixels.
inline void put_means(In sums, In inv_std, std::int64_t count, float* mean_dz, float* slope) {
  const std::int64_t channels = inv_std.shape().c;
  const auto n = static_cast<double>(count);
  for (std::int64_t c = 0; c < channels; ++c) {
    mean_dz[c] = static_cast<float>(sums.as<float>()[c] / n);
    slope[c] = static_cast<float>(sums.as<float>()[channels + c] / n * inv_std.as<float>()[c]);
  }
}

/// The arguments that all backward passes share, moved to the value `at`. (The loops have one of
/// their own: each instruction set's must be compiled for it alone.)
inline NormBackward moved(NormBackward a, std::int64_t at) {
  if (a.x) a.x += at;
  if (a.y) a.y += at;
  a.dy += at;
  if (a.dx) a.dx += at;
  if (a.dresidual) a.dresidual += at;
  return a;
}

}  // namespace fjord
