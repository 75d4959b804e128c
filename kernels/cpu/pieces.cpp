// How a convolution is cut into pieces.
#include "kernels/cpu/pieces.h"

#include <algorithm>

namespace fjord {

namespace {

std::int64_t reach(const Conv2d& conv) { return conv.dilation * (conv.kernel - 1) + 1; }

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The padding below that a piece needs for its outputs.
void pad_below(const Conv2d& conv, Piece& p) {
  const std::int64_t needed = (p.y_rows - 1) * conv.stride + reach(conv);
  p.pad_bottom = std::max<std::int64_t>(0, needed - p.x_rows - p.pad_top);
}

Piece of_outputs(const ConvShape& s, std::int64_t begin, std::int64_t end) {
  const std::int64_t top = begin * s.conv.stride - s.conv.padding;
  const std::int64_t bottom = (end - 1) * s.conv.stride - s.conv.padding + reach(s.conv);
  Piece p{.y_row = begin, .y_rows = end - begin};
  p.x_row = std::max<std::int64_t>(0, top);
  p.x_rows = std::min(s.x.h, bottom) - p.x_row;
  p.pad_top = p.x_row - top;
  pad_below(s.conv, p);
  return p;
}

Piece of_inputs(const ConvShape& s, std::int64_t begin, std::int64_t end) {
  const std::int64_t first = begin + s.conv.padding - (reach(s.conv) - 1);
  Piece p{.x_row = begin, .x_rows = end - begin};
  p.y_row = first > 0 ? divide_up(first, s.conv.stride) : 0;
  p.y_rows = std::min(s.y.h, (end - 1 + s.conv.padding) / s.conv.stride + 1) - p.y_row;
  p.pad_top = begin + s.conv.padding - p.y_row * s.conv.stride;
  pad_below(s.conv, p);
  return p;
}

// Whether the piece is a convolution of its own; strips that lie in the padding are not.
bool sound(const Conv2d& conv, const Piece& p) {
  return p.x_rows > 0 && p.y_rows > 0 && p.pad_top >= 0 &&
         (p.x_rows + p.pad_top + p.pad_bottom - reach(conv)) / conv.stride + 1 == p.y_rows;
}

Piece whole(const ConvShape& s) {
  return {
      .x_rows = s.x.h, .y_rows = s.y.h, .pad_top = s.conv.padding, .pad_bottom = s.conv.padding};
}

// Strips of one image by `of`, of at most `rows` rows; the whole image when one is not sound.
std::vector<Piece> strips(const ConvShape& s, std::int64_t height, std::int64_t rows,
                          Piece (*of)(const ConvShape&, std::int64_t, std::int64_t)) {
  std::vector<Piece> result;
  for (std::int64_t begin = 0; begin < height; begin += rows) {
    result.push_back(of(s, begin, std::min(height, begin + rows)));
    if (!sound(s.conv, result.back())) return {whole(s)};
  }
  return result.size() == 1 ? std::vector<Piece>{whole(s)} : result;
}

std::vector<Piece> cut_rows(const ConvShape& s, Cut cut, std::int64_t height,
                            Piece (*of)(const ConvShape&, std::int64_t, std::int64_t)) {
  std::vector<Piece> result;
  if (s.x.n >= cut.pieces) {
    for (std::int64_t i = 0; i < cut.pieces; ++i) {
      Piece p = whole(s);
      p.image = i * s.x.n / cut.pieces;
      p.images = (i + 1) * s.x.n / cut.pieces - p.image;
      result.push_back(p);
    }
    return result;
  }
  const std::int64_t most = std::max<std::int64_t>(1, height / cut.least_rows);
  const std::int64_t rows = divide_up(height, std::min(most, divide_up(cut.pieces, s.x.n)));
  // Strips that start at a multiple of the stride start with an output.
  const std::vector<Piece> image =
      strips(s, height, divide_up(rows, s.conv.stride) * s.conv.stride, of);
  for (std::int64_t n = 0; n < s.x.n; ++n)
    for (Piece p : image) {
      p.image = n;
      result.push_back(p);
    }
  return result;
}

}  // namespace

std::vector<Piece> cut_outputs(const ConvShape& shape, Cut cut) {
  return cut_rows(shape, cut, shape.y.h, of_outputs);
}

std::vector<Piece> cut_inputs(const ConvShape& shape, Cut cut) {
  return cut_rows(shape, cut, shape.x.h, of_inputs);
}

}  // namespace fjord
