// Tiles of pixels to the points.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/transforms.h"

namespace fjord::FJORD_ISA {

namespace {

FJORD_HD StorePoint store_at(const PixelPoints& p, std::int64_t tile, std::int64_t vector) {
  const std::int64_t group = vector / p.vectors, within = vector % p.vectors;
  const std::int64_t slot = p.by_tile ? tile / kPacked : tile;
  const std::int64_t at = (group * p.tiles + slot) * p.vectors + within;
  return {p.data + at * (p.by_tile ? kWidth : kPlace), p.plane, p.by_tile,
          static_cast<int>(tile % kPacked)};
}

// What pixels inside of the image are read as: themselves, or normalised.
struct Plainly {
  FJORD_HD Plainly(const ReadNorm&, std::int64_t, std::int64_t) {}
  FJORD_HD Vector operator()(Vector v) const { return v; }
};
struct Normalized {
  Vector scale, shift, floor;
  FJORD_HD Normalized(const ReadNorm& norm, std::int64_t channel, std::int64_t count)
      : scale(load_some(norm.scale + channel, count)),
        shift(load_some(norm.shift + channel, count)),
        floor(splat(norm.relu ? 0.0f : -__builtin_inff())) {}
  FJORD_HD Vector operator()(Vector v) const {
    v = v * scale + shift;
    return v < floor ? floor : v;
  }
};

// Pixels that all lie inside; of an enlarged image from an odd row and column on.
template <bool enlarged, class As>
struct Inside {
  const float* first;
  std::int64_t row_stride, channels;
  As as;
  FJORD_HD Vector operator()(int row, int column) const {
    if constexpr (enlarged) row = (row + 1) / 2, column = (column + 1) / 2;
    return as(load(first + row * row_stride + column * channels));
  }
};

// Pixels of which some lie outside and are zero; `count` channels of a vector.
template <class As>
struct Border {
  const Patch& p;
  std::int64_t channel, count;
  As as;
  FJORD_HD Vector operator()(int row, int column) const {
    const std::int64_t y = p.y + row, x = p.x + column;
    if (y < 0 || y >= p.h || x < 0 || x >= p.w) return Vector{};
    const float* pixel = p.image + (y * p.w + x) * p.channels + channel;
    return as(load_some(pixel, count));
  }
};

// Pixels of an image enlarged twice, by where its rows and columns lie; outside: null and -1.
struct Places {
  const float* rows[kPoints];
  std::int64_t columns[kPoints];

  FJORD_HD explicit Places(const Patch& p) {
    for (int i = 0; i < kPoints; ++i) {
      const std::int64_t y = p.y + i, x = p.x + i;
      rows[i] = y < 0 || y >= p.h ? nullptr : p.image + y / 2 * (p.w / 2) * p.channels;
      columns[i] = x < 0 || x >= p.w ? -1 : x / 2 * p.channels;
    }
  }
};

template <class As>
struct Enlarged {
  const Places& places;
  std::int64_t channel;
  As as;
  FJORD_HD Vector operator()(int row, int column) const {
    if (!places.rows[row] || places.columns[column] < 0) return Vector{};
    return as(load(places.rows[row] + places.columns[column] + channel));
  }
};

// Of tiles that lie `step` pixels apart and are `size` large.
template <int size, int step = kOutputs>
FJORD_HD Ahead ahead_of(const Patch& p) {
  const std::int64_t tiles = p.channels < 2 * kWidth ? 4 : p.channels < 4 * kWidth ? 2 : 1;
  const std::int64_t x = p.x + size + (tiles - 1) * step, y = p.y + size - step;
  const std::int64_t left = x + step <= p.w ? p.h - y : 0;
  return {p.image + (y * p.w + x) * p.channels, p.w * p.channels, p.channels,
          left < step ? left : step, step};
}

template <class As>
FJORD_HD void enlarged_to_points(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  const std::int64_t w = p.w / 2, vectors = p.channels / kWidth;
  if (p.y > 0 && p.x > 0 && p.y + kPoints <= p.h && p.x + kPoints <= p.w && p.y % 2 == 1 &&
      p.x % 2 == 1) {
    const float* first = p.image + (p.y / 2 * w + p.x / 2) * p.channels;
    const Ahead ahead = ahead_of<kPoints / 2 + 1, kOutputs / 2>(
        {p.image, p.h / 2, w, p.channels, p.y / 2, p.x / 2});
    for (std::int64_t i = 0; i < vectors; ++i) {
      ahead.prefetch(i * kWidth);
      transform<kPoints, kPoints, input_points>(
          Inside<true, As>{first + i * kWidth, w * p.channels, p.channels,
                           As(p.norm, i * kWidth, kWidth)},
          store_at(to, tile, i));
    }
    return;
  }
  const Places places(p);
  for (std::int64_t i = 0; i < vectors; ++i)
    transform<kPoints, kPoints, input_points>(
        Enlarged<As>{places, i * kWidth, As(p.norm, i * kWidth, kWidth)}, store_at(to, tile, i));
}

template <int size, Points points, class As>
FJORD_HD void to_points(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  const bool inside = p.y >= 0 && p.x >= 0 && p.y + size <= p.h && p.x + size <= p.w;
  const Ahead ahead = ahead_of<size>(p);
  const std::int64_t whole = inside ? p.channels / kWidth : 0;
  for (std::int64_t i = 0; i < whole; ++i) {
    const float* first = p.image + (p.y * p.w + p.x) * p.channels + i * kWidth;
    ahead.prefetch(i * kWidth);
    transform<size, kPoints, points>(
        Inside<false, As>{first, p.w * p.channels, p.channels, As(p.norm, i * kWidth, kWidth)},
        store_at(to, tile, i));
  }
  for (std::int64_t i = whole; i * kWidth < p.channels; ++i) {
    const std::int64_t left = p.channels - i * kWidth, count = left < kWidth ? left : kWidth;
    transform<size, kPoints, points>(
        Border<As>{p, i * kWidth, count, As(p.norm, i * kWidth, count)}, store_at(to, tile, i));
  }
}

template <class As>
FJORD_HD void input_to_points(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  if (p.doubled)
    enlarged_to_points<As>(p, to, tile);
  else
    to_points<kPoints, input_points, As>(p, to, tile);
}

}  // namespace

void winograd_fence() { fence(); }

void winograd_input(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  if (p.norm.scale)
    input_to_points<Normalized>(p, to, tile);
  else
    input_to_points<Plainly>(p, to, tile);
}

void winograd_gradient(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  to_points<kOutputs, gradient_points, Plainly>(p, to, tile);
}

}  // namespace fjord::FJORD_ISA
