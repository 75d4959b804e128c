// Convolutions cut into pieces by shape alone: ranges of images, or strips of an image's rows. Each
// piece is one thread's work, so results have the same bits for any number of threads.
#pragma once

#include <vector>

#include "kernels/conv.h"

namespace fjord {

/// Whole images, or a strip of one: `x_rows` input rows that lead to `y_rows` output rows when
/// padded by `pad_top` and `pad_bottom`.
struct Piece {
  std::int64_t image = 0, images = 1;
  std::int64_t x_row = 0, x_rows = 0, y_row = 0, y_rows = 0;
  std::int64_t pad_top = 0, pad_bottom = 0;

  std::int64_t x_offset(Shape x) const { return (image * x.h + x_row) * x.w * x.c; }
  std::int64_t y_offset(Shape y) const { return (image * y.h + y_row) * y.w * y.c; }
  /// The same convolution on other data.
  bool like(const Piece& other) const {
    return images == other.images && x_rows == other.x_rows && y_rows == other.y_rows &&
           pad_top == other.pad_top && pad_bottom == other.pad_bottom;
  }
};

struct Cut {
  std::int64_t pieces = 8;      // wanted; fewer where strips would be too small
  std::int64_t least_rows = 4;  // of a strip
};

/// Pieces that do not share an output row: forward, backward-filter.
std::vector<Piece> cut_outputs(const ConvShape& shape, Cut cut);
/// Pieces that do not share an input row: backward-data.
std::vector<Piece> cut_inputs(const ConvShape& shape, Cut cut);

}  // namespace fjord
