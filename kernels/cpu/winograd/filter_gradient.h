// The driver of backward-filter, F(3x3, 4x4): sums over tiles of products at each of the 36 points,
// then one transform back to the filters. Of bf16, two tiles lie in a slot.
#pragma once

#include "kernels/conv.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/winograd/layout.h"

namespace fjord::winograd {

/// dy, and where it is not there yet what makes it (Loops::norm_backward_apply): then a block of
/// tiles at a time, which the transform finds in the cache.
struct Gradient {
  const float* dy = nullptr;
  const NormBackward* made_by = nullptr;  // whose dx it is
};

class FilterGradient {
 public:
  /// For at most that many threads, which change no bit: the partial sums follow from the shape.
  /// The first `low_channels` of x, whole panels, are those of an image of half its size.
  FilterGradient(const ConvShape& shape, int workers, std::int64_t low_channels = 0);

  std::size_t scratch_bytes() const { return layout_.bytes(); }
  void run(const Source& x, const Gradient& dy, Out dweight, float* scratch) const;

 private:
  struct Operands {
    PixelPoints gradients, pixels;
  };
  Operands operands(float* data) const;
  Range rows_of(Range tiles) const;
  void make(const NormBackward& gradient, Range tiles, std::int64_t row) const;
  std::int64_t slots_of(Range tiles) const { return divide_up(tiles.size(), loops_.packed); }
  void to_points(const Operands& to, const Source& x, const float* dy, Range tiles,
                 std::int64_t slot) const;
  void accumulate(const Operands& from, std::int64_t slots, std::int64_t point, std::int64_t panel,
                  float* sums, bool first) const;
  void sum_apart(const Source& x, const Gradient& dy, float* scratch) const;
  void sum_together(const Source& x, const Gradient& dy, float* scratch) const;
  void to_filters(const float* sums, Out dweight) const;

  const Input x_;
  const Shape y_;
  const WinogradLoops& loops_;
  const int workers_;
  const Tiles tiles_;
  const Panels panels_;           // of x's channels
  const std::int64_t filters_;    // filled up to a whole vector
  const std::int64_t sum_plane_;  // floats of all filters at one point
  std::int64_t pieces_ = 1;       // partial sums; with one, all threads work on it
  std::int64_t block_ = 0;        // tiles held at a time
  std::int64_t slots_ = 0;        // that they take
  std::int64_t gradient_plane_ = 0, pixel_plane_ = 0;
  std::int64_t sums_at_ = 0, operands_at_ = 0, per_worker_ = 0;
  Layout layout_;
};

}  // namespace fjord::winograd
