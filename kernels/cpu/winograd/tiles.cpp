// Tiles of pixels to the points and back.
#include <type_traits>

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

FJORD_HD Vector load_some(const float* from, std::int64_t count) {
  return count == kWidth ? load(from) : load_part(from, count);
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
  // The channels that fill up the last panel.
  const std::int64_t vectors = (p.channels + kWidth - 1) / kWidth;
  for (std::int64_t i = vectors; i % to.vectors != 0; ++i)
    for (int row = 0; row < kPoints; ++row)
      for (int column = 0; column < kPoints; ++column) store_at(to, tile, i)(row, column, Vector{});
}

template <class As>
FJORD_HD void input_to_points(const Patch& p, const PixelPoints& to, std::int64_t tile) {
  if (p.doubled)
    enlarged_to_points<As>(p, to, tile);
  else
    to_points<kPoints, input_points, As>(p, to, tile);
}

struct Products {
  const float* from;
  std::int64_t plane;
  FJORD_HD Vector operator()(int row, int column) const {
    return load_aligned(from + (row * kPoints + column) * plane);
  }
};

// The sum of a tile's outputs.
struct AddUp {
  std::int64_t rows, columns;
  Vector* sum;
  FJORD_HD void operator()(int row, int column, Vector v) const {
    if (row < rows && column < columns) *sum += v;
  }
};

FJORD_HD Vector mean_of(const Products& from, std::int64_t rows, std::int64_t columns) {
  Vector sum{};
  transform<kPoints, kOutputs, output_points>(from, AddUp{rows, columns, &sum});
  return sum * splat(1.0f / static_cast<float>(rows * columns));
}

// What a tile adds to its group's sums: its own are added up first, which is less rounding.
struct Sums {
  const TileSums& t;
  std::int64_t channel;
  Vector center, differences{}, squares{};

  FJORD_HD float* row(int i) const { return t.rows + i * t.row + channel; }
  FJORD_HD void add(Vector v) {
    const Vector difference = v - center;
    differences += difference;
    squares += difference * difference;
  }
  FJORD_HD void store() {
    if (t.first)
      store_aligned(row(0), center);
    else
      differences += load_aligned(row(1)), squares += load_aligned(row(2));
    store_aligned(row(1), differences);
    store_aligned(row(2), squares);
  }
};

// The same of a normalisation's gradient, which is 0 where the activation was.
struct GradientSums {
  const OutputTile& t;
  std::int64_t channel, count;
  Vector scale, shift, mean, gradients{}, products{};

  FJORD_HD GradientSums(const OutputTile& tile, std::int64_t first, std::int64_t channels)
      : t(tile),
        channel(first),
        count(channels),
        scale(load_some(tile.norm.scale + first, channels)),
        shift(load_some(tile.norm.shift + first, channels)),
        mean(load_some(tile.norm.mean + first, channels)) {}

  FJORD_HD Vector add(Vector v, std::int64_t at) {
    const Vector raw = load_some(t.norm.raw + at, count);
    const Vector y = t.norm.y ? load_some(t.norm.y + at, count) : raw * scale + shift;
    if (t.norm.relu) v = y <= Vector{} ? Vector{} : v;  // a NaN stays one
    gradients += v;
    products += v * (raw - mean);
    return v;
  }
  FJORD_HD void store() {
    float* row = t.sums.rows + channel;
    if (!t.sums.first) gradients += load_aligned(row), products += load_aligned(row + t.sums.row);
    store_aligned(row, gradients);
    store_aligned(row + t.sums.row, products);
  }
};

struct Unsummed {};

template <class Summed>
struct Finish {
  const OutputTile& t;
  std::int64_t rows, columns, channel, count;
  Vector bias;
  Summed* sums = nullptr;

  FJORD_HD void operator()(int row, int column, Vector v) const {
    if (row >= rows || column >= columns) return;
    const std::int64_t at = ((t.y + row) * t.w + t.x + column) * t.channels + channel;
    v += bias;
    if (t.plus) v += count == kWidth ? load(t.plus + at) : load_part(t.plus + at, count);
    if (t.relu) v = v < Vector{} ? Vector{} : v;
    if constexpr (std::is_same_v<Summed, Sums>) sums->add(v);
    if constexpr (std::is_same_v<Summed, GradientSums>) v = sums->add(v, at);
    if (t.stream)
      stream_store(t.image + at, v);
    else if (count == kWidth)
      store(t.image + at, v);
    else
      store_part(t.image + at, v, count);
  }
};

// Sums of 2x2 pixels, in the order in which they come.
template <class Summed>
struct FinishHalved {
  const OutputTile& t;
  std::int64_t rows, columns, channel;
  Vector* pair;  // sums of two pixels
  Summed* sums = nullptr;

  FJORD_HD void operator()(int row, int column, Vector v) const {
    if (row >= rows || column >= columns) return;
    Vector& sum = pair[column / 2];
    const std::int64_t pixel = (t.y + row) / 2 * (t.w / 2) + (t.x + column) / 2;
    const std::int64_t at = pixel * t.channels + channel;
    if (row % 2 == 0 && column % 2 == 0)
      sum = t.plus ? load(t.plus + at) + v : v;
    else
      sum += v;
    if (row % 2 == 0 || column % 2 == 0) return;
    if constexpr (std::is_same_v<Summed, GradientSums>) sum = sums->add(sum, at);
    store(t.image + at, sum);
  }
};

template <class Summed>
FJORD_HD void finish(const Products& from, const OutputTile& t, std::int64_t rows,
                     std::int64_t columns, std::int64_t channel, std::int64_t count, Vector bias,
                     Summed* sums) {
  if constexpr (!std::is_same_v<Summed, Sums>) {
    if (t.halved) {
      Vector pair[kOutputs / 2] = {};
      return transform<kPoints, kOutputs, output_points>(
          from, FinishHalved<Summed>{t, rows, columns, channel, pair, sums});
    }
  }
  transform<kPoints, kOutputs, output_points>(
      from, Finish<Summed>{t, rows, columns, channel, count, bias, sums});
}

FJORD_HD std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

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
    if (t.norm.raw) {
      const std::int64_t scale = t.halved ? 2 : 1, w = t.w / scale, size = kOutputs / scale;
      const std::int64_t y = t.y / scale, x = t.x / scale + size;
      const Ahead ahead{t.norm.raw + (y * w + x) * t.channels + channel, w * t.channels, t.channels,
                        x + size <= w ? least(size, t.h / scale - y) : 0, size};
      ahead.prefetch(0);
      GradientSums sums(t, channel, count);
      finish(from, t, rows, columns, channel, count, bias, &sums);
      sums.store();
    } else if (t.sums.rows) {
      Sums sums{
          t.sums, channel,
          t.sums.first ? mean_of(from, rows, columns) + bias : load_aligned(t.sums.rows + channel)};
      finish(from, t, rows, columns, channel, count, bias, &sums);
      sums.store();
    } else {
      finish<Unsummed>(from, t, rows, columns, channel, count, bias, nullptr);
    }
  }
}

}  // namespace fjord::FJORD_ISA
