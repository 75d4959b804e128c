// Pieces of a convolution cover every row once, and each is a convolution of its own.
#include "kernels/cpu/pieces.h"

#include <doctest/doctest.h>

#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

ConvShape shape_of(Shape x, Conv2d conv) {
  return {.x = x,
          .weight = {1, conv.kernel, conv.kernel, x.c},
          .y = {x.n, conv_size(x.h, conv), conv_size(x.w, conv), 1},
          .conv = conv};
}

// Each row of [0, height) of each image belongs to exactly one piece.
void covers(const std::vector<Piece>& pieces, std::int64_t images, std::int64_t height,
            std::int64_t Piece::*row, std::int64_t Piece::*rows) {
  std::vector<int> seen(static_cast<std::size_t>(images * height));
  for (const Piece& p : pieces)
    for (std::int64_t n = p.image; n < p.image + p.images; ++n)
      for (std::int64_t y = p.*row; y < p.*row + p.*rows; ++y)
        ++seen[static_cast<std::size_t>(n * height + y)];
  CHECK(seen == std::vector<int>(seen.size(), 1));
}

// A piece's sizes agree: its rows, padded, give its output rows, where the whole would put them.
void is_convolution(const ConvShape& s, const Piece& p) {
  const std::int64_t reach = s.conv.dilation * (s.conv.kernel - 1) + 1;
  CHECK((p.x_rows + p.pad_top + p.pad_bottom - reach) / s.conv.stride + 1 == p.y_rows);
  CHECK(p.y_row * s.conv.stride - s.conv.padding == p.x_row - p.pad_top);
  CHECK(p.pad_top >= 0);
  CHECK(p.pad_bottom >= 0);
  CHECK(p.x_row + p.x_rows <= s.x.h);
  CHECK(p.y_row + p.y_rows <= s.y.h);
}

}  // namespace

TEST_CASE("pieces cover the rows once and are convolutions") {
  const Conv2d kinds[]{{},
                       {.stride = 2},
                       {.kernel = 1, .stride = 2, .padding = 0},
                       {.kernel = 7, .stride = 2, .padding = 3},
                       {.kernel = 1, .padding = 0},
                       {.kernel = 3, .padding = 4, .dilation = 4},
                       {.kernel = 2, .stride = 3, .padding = 0},
                       {.kernel = 3, .padding = 9}};
  for (const Conv2d& conv : kinds)
    for (const std::int64_t images : {1, 3, 8, 21})
      for (const std::int64_t height : {7, 8, 64, 101})
        for (const Cut cut : {Cut{8, 4}, Cut{16, 8}, Cut{1, 1}}) {
          const ConvShape s = shape_of({images, height, 9, 2}, conv);
          CAPTURE(conv.kernel);
          CAPTURE(conv.stride);
          CAPTURE(images);
          CAPTURE(height);
          const auto outputs = cut_outputs(s, cut), inputs = cut_inputs(s, cut);
          covers(outputs, images, s.y.h, &Piece::y_row, &Piece::y_rows);
          covers(inputs, images, s.x.h, &Piece::x_row, &Piece::x_rows);
          for (const Piece& p : outputs) is_convolution(s, p);
          for (const Piece& p : inputs) is_convolution(s, p);
        }
}

TEST_CASE("one large image is cut as well") {
  const ConvShape s = shape_of({1, 512, 512, 16}, {});
  CHECK(cut_outputs(s, {}).size() == 8);
  CHECK(cut_inputs(s, {}).size() == 8);
}

TEST_CASE("chunks cover a range once") {
  for (const std::int64_t count : {0, 1, 7, 8, 9, 100}) {
    const Chunks chunks{count, 8};
    std::int64_t next = 0;
    for (std::int64_t i = 0; i < chunks.pieces(); ++i) {
      CHECK(chunks.begin(i) == next);
      next += chunks.length(i);
    }
    CHECK(next == count);
  }
}

}  // namespace fjord
