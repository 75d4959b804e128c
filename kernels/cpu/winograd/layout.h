// How the drivers lay out tiles, panels and scratch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/winograd/loops.h"
#include "kernels/view.h"

namespace fjord::winograd {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Floats of a plane of at least `count`: an odd number of cache lines, so that the 36 planes do
/// not compete for the same lines of the cache.
constexpr std::int64_t odd_lines(std::int64_t count) {
  const std::int64_t lines = divide_up(count, 16);
  return 16 * (lines % 2 ? lines : lines + 1);
}

/// The 4x4 tiles of images, in row order, image after image.
struct Tiles {
  explicit Tiles(Shape s)
      : rows(divide_up(s.h, kWinogradTile)),
        columns(divide_up(s.w, kWinogradTile)),
        count(s.n * rows * columns) {}

  /// The first pixel of a tile.
  struct Place {
    std::int64_t image, y, x;
  };
  Place at(std::int64_t tile) const {
    return {tile / (rows * columns), tile / columns % rows * kWinogradTile,
            tile % columns * kWinogradTile};
  }
  /// Below the first image and its padding, where all pixels are 0.
  Place nowhere() const { return {0, (rows + 1) * kWinogradTile, 0}; }

  const std::int64_t rows, columns, count;
};

/// Channels cut into panels of two vectors, or of one where their number is odd: none is empty.
struct Panels {
  Panels(std::int64_t channels, int width)
      : vectors(divide_up(channels, width) % 2 ? 1 : 2),
        width(vectors * width),
        count(divide_up(channels, this->width)) {}

  const int vectors;
  const std::int64_t width, count;
};

/// Part `i` of `count` things cut into `parts` of nearly equal size, each but the last of whole
/// groups.
struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};
constexpr Range part(std::int64_t count, std::int64_t parts, std::int64_t i,
                     std::int64_t group = 1) {
  const std::int64_t groups = divide_up(count, group);
  return {groups * i / parts * group, std::min(groups * (i + 1) / parts * group, count)};
}

/// The patch of `image` whose first pixel lies at a tile's, less the padding.
inline Patch patch_of(const float* x, Shape s, Tiles::Place p, std::int64_t padding) {
  return {x + p.image * s.h * s.w * s.c, s.h, s.w, s.c, p.y - padding, p.x - padding};
}

/// The same of an image of s's size that is one of half its size with every pixel seen as 2x2.
inline Patch enlarged_patch_of(const float* low, Shape s, std::int64_t channels, Tiles::Place p,
                               std::int64_t padding) {
  return {low + p.image * s.h / 2 * (s.w / 2) * channels,
          s.h,
          s.w,
          channels,
          p.y - padding,
          p.x - padding,
          true};
}

/// What is read: the input, or its two parts.
struct Source {
  const float* x = nullptr;
  const float *low = nullptr, *skip = nullptr;  // n x h/2 x w/2, n x h x w
  ReadNorm norm = {};                           // of x, or low
};

/// The input's shape; the first `low_channels` are those of an image of half its size.
struct Input {
  Shape shape;
  std::int64_t padding, low_channels;
};

/// A tile's pixels at the points: of both parts where the input has two.
inline void pixels_to_points(const WinogradLoops& loops, const Input& s, const Source& in,
                             Tiles::Place place, const PixelPoints& to, std::int64_t tile) {
  const std::int64_t low = s.low_channels;
  Patch first = low == 0 ? patch_of(in.x, s.shape, place, s.padding)
                         : enlarged_patch_of(in.low, s.shape, low, place, s.padding);
  first.norm = in.norm;
  loops.input(first, to, tile);
  Shape skip = s.shape;
  skip.c -= low;
  if (low == 0 || skip.c == 0) return;
  PixelPoints behind = to;
  behind.data += low * to.tiles / (to.by_tile ? 1 : loops.packed);
  loops.input(patch_of(in.skip, skip, place, s.padding), behind, tile);
}

/// Offsets of a scratch block, in floats.
struct Layout {
  std::int64_t floats = 0;
  std::int64_t take(std::int64_t count) {
    const std::int64_t offset = floats;
    floats += divide_up(count, 16) * 16;
    return offset;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(floats) * sizeof(float); }
};

}  // namespace fjord::winograd
