// Sums over a convolution's outputs that tiles leave as they are written: for the moments of what
// it makes, or for the backward pass of the normalisation whose gradient it makes.
#pragma once

#include <vector>

#include "kernels/conv_norm.h"
#include "kernels/cpu/winograd/layout.h"

namespace fjord::winograd {

/// What a pass sums beside its work.
enum class Summed : std::uint8_t { nothing, moments, gradients };

/// A group of tiles, the same for any number of threads, leaves rows of all channels. For moments
/// three: c, the mean of its first tile, the sum of all values' differences from c, and that of
/// their squares. c is a mean of values of the group, so that the variance of t tiles cancels to no
/// less than about 1 / (t + 1) of the squares, wherever the values lie. For gradients two: the sums
/// of dz and of dz * (raw - mean).
class GroupSums {
 public:
  /// Of `out`'s tiles, `group` at a time.
  GroupSums(Summed summed, Shape out, std::int64_t group, const Panels& panels);

  explicit operator bool() const { return summed_ != Summed::nothing; }
  /// Tiles that must not be cut apart.
  std::int64_t group() const { return group_; }
  std::int64_t floats() const { return groups() * rows() * row_; }
  /// Where a tile adds its outputs.
  TileSums sums_of(std::int64_t tile, float* sums) const {
    if (summed_ == Summed::nothing) return {};
    return {sums + tile / group_ * rows() * row_, row_, tile % group_ == 0};
  }
  void merge_moments(const float* sums, float* mean, float* variance) const;
  /// Of the first `channels`.
  void merge_gradients(const float* sums, std::int64_t channels, In inv_std,
                       const NormGradientOutputs& to) const;

 private:
  std::int64_t rows() const { return summed_ == Summed::moments ? 3 : 2; }
  std::int64_t groups() const {
    return summed_ == Summed::nothing ? 0 : divide_up(tiles_.count, group_);
  }
  std::int64_t values_of(std::int64_t group) const;

  const Summed summed_;
  const Shape out_;
  const Tiles tiles_;
  const std::int64_t group_, row_;
  std::vector<double> counts_;  // values of each group
};

}  // namespace fjord::winograd
