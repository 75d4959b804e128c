// How sums by channel become what batch normalisation's backward pass leaves.
#pragma once

#include "kernels/conv_norm.h"

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

}  // namespace fjord
