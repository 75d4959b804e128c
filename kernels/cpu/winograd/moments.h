// Mean and variance of a convolution's outputs, from sums that tiles leave as they are written.
#pragma once

#include <vector>

#include "kernels/cpu/winograd/layout.h"

namespace fjord::winograd {

/// A group of tiles, the same for any number of threads, leaves three rows of all channels: c, the
/// mean of its first tile, the sum of all values' differences from c, and that of their squares. c
/// is a mean of values of the group, so that the variance of t tiles cancels to no less than about
/// 1 / (t + 1) of the squares, wherever the values lie.
class MomentSums {
 public:
  /// Of `out`'s tiles, `group` at a time; without any nothing is summed.
  MomentSums(Shape out, std::int64_t group, const Panels& panels);

  explicit operator bool() const { return group_ > 0; }
  /// Tiles that must not be cut apart.
  std::int64_t group() const { return group_ > 0 ? group_ : 1; }
  std::int64_t floats() const { return groups() * kRows * row_; }
  /// Where a tile adds its outputs.
  TileSums sums_of(std::int64_t tile, float* sums) const {
    if (group_ == 0) return {};
    return {sums + tile / group_ * kRows * row_, row_, tile % group_ == 0};
  }
  void merge(const float* sums, float* mean, float* variance) const;

 private:
  static constexpr std::int64_t kRows = 3;
  std::int64_t groups() const { return group_ > 0 ? divide_up(tiles_.count, group_) : 0; }
  std::int64_t values_of(std::int64_t group) const;

  const Shape out_;
  const Tiles tiles_;
  const std::int64_t group_, row_;
  std::vector<double> counts_;  // values of each group
};

}  // namespace fjord::winograd
