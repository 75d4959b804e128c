// Tiles of pixels to the points and back.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/transforms.h"

namespace fjord::FJORD_ISA {

namespace {

FJORD_HD float* place(const PixelPoints& p, std::int64_t slot, std::int64_t vector) {
  const std::int64_t group = vector / p.vectors, within = vector % p.vectors;
  return p.data + ((group * p.tiles + slot) * p.vectors + within) * kPlace;
}

// Pixels that all lie inside; of an enlarged image from an odd row and column on.
template <bool enlarged>
struct Inside {
  const float* first;
  std::int64_t row_stride, channels;
  FJORD_HD Vector operator()(int row, int column) const {
    if constexpr (enlarged) row = (row + 1) / 2, column = (column + 1) / 2;
    return load(first + row * row_stride + column * channels);
  }
};

// Pixels of which some lie outside and are zero; `count` channels of a vector.
struct Border {
  const Patch& p;
  std::int64_t channel, count;
  FJORD_HD Vector operator()(int row, int column) const {
    const std::int64_t y = p.y + row, x = p.x + column;
    if (y < 0 || y >= p.h || x < 0 || x >= p.w) return Vector{};
    const float* pixel = p.image + (y * p.w + x) * p.channels + channel;
    return count == kWidth ? load(pixel) : load_part(pixel, count);
  }
};

// Pixels of an image enlarged twice, by where its rows and columns lie; outside: null and -1.
struct Enlarged {
  const float* rows[kPoints];
  std::int64_t columns[kPoints], channel;

  FJORD_HD explicit Enlarged(const Patch& p) : channel(0) {
    for (int i = 0; i < kPoints; ++i) {
      const std::int64_t y = p.y + i, x = p.x + i;
      rows[i] = y < 0 || y >= p.h ? nullptr : p.image + y / 2 * (p.w / 2) * p.channels;
      columns[i] = x < 0 || x >= p.w ? -1 : x / 2 * p.channels;
    }
  }
  FJORD_HD Vector operator()(int row, int column) const {
    if (!rows[row] || columns[column] < 0) return Vector{};
    return load(rows[row] + columns[column] + channel);
  }
};

// The pixels that a tile further along the row will be the first to read, asked for early: a row of
// tiles is four streams, too short for the processor to see.
struct Ahead {
  const float* first;
  std::int64_t row_stride, channels, rows, columns;
  FJORD_HD void prefetch(std::int64_t channel) const {
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = 0; column < columns; ++column)
        __builtin_prefetch(first + row * row_stride + column * channels + channel);
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

FJORD_HD void enlarged_to_points(const Patch& p, const PixelPoints& to, std::int64_t slot) {
  const std::int64_t w = p.w / 2, vectors = p.channels / kWidth;
  if (p.y > 0 && p.x > 0 && p.y + kPoints <= p.h && p.x + kPoints <= p.w && p.y % 2 == 1 &&
      p.x % 2 == 1) {
    const float* first = p.image + (p.y / 2 * w + p.x / 2) * p.channels;
    const Ahead ahead = ahead_of<kPoints / 2 + 1, kOutputs / 2>(
        {p.image, p.h / 2, w, p.channels, p.y / 2, p.x / 2});
    for (std::int64_t i = 0; i < vectors; ++i) {
      ahead.prefetch(i * kWidth);
      transform<kPoints, kPoints, input_points>(
          Inside<true>{first + i * kWidth, w * p.channels, p.channels},
          StorePoint{place(to, slot, i), to.plane});
    }
    return;
  }
  Enlarged pixels(p);
  for (std::int64_t i = 0; i < vectors; ++i, pixels.channel += kWidth)
    transform<kPoints, kPoints, input_points>(pixels, StorePoint{place(to, slot, i), to.plane});
}

template <int size, Points points>
FJORD_HD void to_points(const Patch& p, const PixelPoints& to, std::int64_t slot) {
  const bool inside = p.y >= 0 && p.x >= 0 && p.y + size <= p.h && p.x + size <= p.w;
  const Ahead ahead = ahead_of<size>(p);
  const std::int64_t whole = inside ? p.channels / kWidth : 0;
  for (std::int64_t i = 0; i < whole; ++i) {
    const float* first = p.image + (p.y * p.w + p.x) * p.channels + i * kWidth;
    ahead.prefetch(i * kWidth);
    transform<size, kPoints, points>(Inside<false>{first, p.w * p.channels, p.channels},
                                     StorePoint{place(to, slot, i), to.plane});
  }
  for (std::int64_t i = whole; i * kWidth < p.channels; ++i) {
    const std::int64_t left = p.channels - i * kWidth;
    transform<size, kPoints, points>(Border{p, i * kWidth, left < kWidth ? left : kWidth},
                                     StorePoint{place(to, slot, i), to.plane});
  }
  // The channels that fill up the last panel.
  const std::int64_t vectors = (p.channels + kWidth - 1) / kWidth;
  for (std::int64_t i = vectors; i % to.vectors != 0; ++i)
    for (int point = 0; point < kPositions; ++point)
      store_operands(place(to, slot, i) + point * to.plane, Vector{});
}

struct Products {
  const float* from;
  std::int64_t plane;
  FJORD_HD Vector operator()(int row, int column) const {
    return load_aligned(from + (row * kPoints + column) * plane);
  }
};

struct Finish {
  const OutputTile& t;
  std::int64_t rows, columns, channel, count;
  Vector bias;

  FJORD_HD void operator()(int row, int column, Vector v) const {
    if (row >= rows || column >= columns) return;
    const std::int64_t at = ((t.y + row) * t.w + t.x + column) * t.channels + channel;
    v += bias;
    if (t.plus) v += count == kWidth ? load(t.plus + at) : load_part(t.plus + at, count);
    if (t.relu) v = v < Vector{} ? Vector{} : v;
    if (t.stream)
      stream_store(t.image + at, v);
    else if (count == kWidth)
      store(t.image + at, v);
    else
      store_part(t.image + at, v, count);
  }
};

// Sums of 2x2 pixels, in the order in which they come.
struct FinishHalved {
  const OutputTile& t;
  std::int64_t rows, columns, channel;
  Vector* sums;  // of two pixels

  FJORD_HD void operator()(int row, int column, Vector v) const {
    if (row >= rows || column >= columns) return;
    Vector& sum = sums[column / 2];
    const std::int64_t pixel = (t.y + row) / 2 * (t.w / 2) + (t.x + column) / 2;
    const std::int64_t at = pixel * t.channels + channel;
    if (row % 2 == 0 && column % 2 == 0)
      sum = t.plus ? load(t.plus + at) + v : v;
    else
      sum += v;
    if (row % 2 == 1 && column % 2 == 1) store(t.image + at, sum);
  }
};

FJORD_HD std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

}  // namespace

void winograd_fence() { fence(); }

void winograd_input(const Patch& p, const PixelPoints& to, std::int64_t slot) {
  if (p.doubled)
    enlarged_to_points(p, to, slot);
  else
    to_points<kPoints, input_points>(p, to, slot);
}

void winograd_gradient(const Patch& p, const PixelPoints& to, std::int64_t slot) {
  to_points<kOutputs, gradient_points>(p, to, slot);
}

void winograd_output(const PixelPoints& products, std::int64_t slot, const OutputTile& t) {
  for (std::int64_t i = 0; i < products.vectors; ++i) {
    const std::int64_t channel = t.first + i * kWidth;
    const std::int64_t count = least(t.channels - channel, kWidth);
    if (count <= 0) return;
    Vector bias{};
    if (t.bias)
      bias = count == kWidth ? load(t.bias + channel) : load_part(t.bias + channel, count);
    const Products from{products.data + (i * products.tiles + slot) * kWidth, products.plane};
    const std::int64_t rows = least(kOutputs, t.h - t.y), columns = least(kOutputs, t.w - t.x);
    Vector sums[kOutputs / 2] = {};
    if (t.halved)
      transform<kPoints, kOutputs, output_points>(from,
                                                  FinishHalved{t, rows, columns, channel, sums});
    else
      transform<kPoints, kOutputs, output_points>(from,
                                                  Finish{t, rows, columns, channel, count, bias});
  }
}

}  // namespace fjord::FJORD_ISA
