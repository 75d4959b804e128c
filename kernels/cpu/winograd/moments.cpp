// Sums of groups of tiles to those of all.
#include "kernels/cpu/winograd/moments.h"

#include <algorithm>

#include "kernels/cpu/parallel.h"

namespace fjord::winograd {

// Pixels of a group's tiles, which are a channel's values: tiles at the edges may lie partly
// outside.
std::int64_t MomentSums::values_of(std::int64_t group) const {
  std::int64_t values = 0;
  for (std::int64_t t = group * group_; t < std::min((group + 1) * group_, tiles_.count); ++t) {
    const Tiles::Place p = tiles_.at(t);
    values += std::min(kWinogradTile, out_.h - p.y) * std::min(kWinogradTile, out_.w - p.x);
  }
  return values;
}

MomentSums::MomentSums(Shape out, std::int64_t group, const Panels& panels)
    : out_(out), tiles_(out), group_(group), row_(panels.count * panels.width) {
  for (std::int64_t g = 0; g < groups(); ++g) counts_.push_back(static_cast<double>(values_of(g)));
}

// In double, all about the first group's c: d being how far another's lies from it, sum (v - C) is
// sum (v - c) + n d, and sum (v - C)^2 is sum (v - c)^2 + 2 d sum (v - c) + n d^2.
void MomentSums::merge(const float* sums, float* mean, float* variance) const {
  const auto count = static_cast<double>(out_.pixels());
  parallel_for(out_.c, [&](std::int64_t channel) {
    const auto center = static_cast<double>(sums[channel]);
    double sum = 0, squares = 0;
    for (std::int64_t g = 0; g < groups(); ++g) {
      const float* own = sums + g * kRows * row_ + channel;
      const double n = counts_[static_cast<std::size_t>(g)], d = own[0] - center, first = own[row_];
      sum += first + n * d;
      squares += own[2 * row_] + d * (2 * first + n * d);
    }
    mean[channel] = static_cast<float>(center + sum / count);
    // In this order of arguments a NaN stays one.
    variance[channel] = static_cast<float>(std::max((squares - sum * sum / count) / count, 0.0));
  });
}

}  // namespace fjord::winograd
