// Sums of groups of tiles to those of all.
#include "kernels/cpu/winograd/group_sums.h"

#include <algorithm>

#include "kernels/cpu/norm_sums.h"
#include "kernels/cpu/parallel.h"

namespace fjord::winograd {

// Pixels of a group's tiles, which are a channel's values: tiles at the edges may lie partly
// outside.
std::int64_t GroupSums::values_of(std::int64_t group) const {
  std::int64_t values = 0;
  for (std::int64_t t = group * group_; t < std::min((group + 1) * group_, tiles_.count); ++t) {
    const Tiles::Place p = tiles_.at(t);
    values += std::min(kWinogradTile, out_.h - p.y) * std::min(kWinogradTile, out_.w - p.x);
  }
  return values;
}

GroupSums::GroupSums(Summed summed, Shape out, std::int64_t group, const Panels& panels)
    : summed_(summed),
      out_(out),
      tiles_(out),
      group_(summed == Summed::nothing ? 1 : group),
      row_(panels.count * panels.width) {
  if (summed != Summed::moments) return;
  for (std::int64_t g = 0; g < groups(); ++g) counts_.push_back(static_cast<double>(values_of(g)));
}

// In double, all about the first group's c: d being how far another's lies from it, sum (v - C) is
// sum (v - c) + n d, and sum (v - C)^2 is sum (v - c)^2 + 2 d sum (v - c) + n d^2.
void GroupSums::merge_moments(const float* sums, float* mean, float* variance) const {
  const auto count = static_cast<double>(out_.pixels());
  parallel_for(out_.c, [&](std::int64_t channel) {
    const auto center = static_cast<double>(sums[channel]);
    double sum = 0, squares = 0;
    for (std::int64_t g = 0; g < groups(); ++g) {
      const float* own = sums + g * rows() * row_ + channel;
      const double n = counts_[static_cast<std::size_t>(g)], d = own[0] - center, first = own[row_];
      sum += first + n * d;
      squares += own[2 * row_] + d * (2 * first + n * d);
    }
    mean[channel] = static_cast<float>(center + sum / count);
    // In this order of arguments a NaN stays one.
    variance[channel] = static_cast<float>(std::max((squares - sum * sum / count) / count, 0.0));
  });
}

void GroupSums::merge_gradients(const float* sums, std::int64_t channels, In inv_std,
                                const NormGradientOutputs& to) const {
  parallel_for(channels, [&](std::int64_t channel) {
    double dz = 0, dz_centered = 0;
    for (std::int64_t g = 0; g < groups(); ++g) {
      const float* own = sums + g * rows() * row_ + channel;
      dz += own[0];
      dz_centered += own[row_];
    }
    put_gradient_sums(to, channels, channel, dz, dz_centered, inv_std);
  });
}

}  // namespace fjord::winograd
