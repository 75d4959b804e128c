// Tiles of products at the points to pixels, and what is done to these as they are written.
#include <type_traits>

#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/transforms.h"

namespace fjord::FJORD_ISA {

namespace {

FJORD_HD std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

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

// What the next tile of the row reads of it.
FJORD_HD Ahead raw_ahead(const OutputTile& t) {
  const std::int64_t scale = t.halved ? 2 : 1, w = t.w / scale, size = kOutputs / scale;
  const std::int64_t y = t.y / scale, x = t.x / scale + size;
  return {t.norm.raw + (y * w + x) * t.channels, w * t.channels, t.channels,
          x + size <= w ? least(size, t.h / scale - y) : 0, size};
}

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
    if (t.plus) v += load_some(t.plus + at, count);
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

}  // namespace

void winograd_output(const PixelPoints& products, std::int64_t slot, const OutputTile& t) {
  for (std::int64_t i = 0; i < products.vectors; ++i) {
    const std::int64_t channel = t.first + i * kWidth;
    const std::int64_t count = least(t.channels - channel, kWidth);
    const Vector bias = t.bias ? load_some(t.bias + channel, count) : Vector{};
    const Products from{products.data + (i * products.tiles + slot) * kWidth, products.plane};
    const std::int64_t rows = least(kOutputs, t.h - t.y), columns = least(kOutputs, t.w - t.x);
    if (t.norm.raw) {
      raw_ahead(t).prefetch(channel);
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
