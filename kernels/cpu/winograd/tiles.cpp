// Tiles of pixels to the points and back.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/transforms.h"

namespace fjord::FJORD_ISA {

namespace {

FJORD_HD float* place(const PixelPoints& p, std::int64_t slot, std::int64_t vector) {
  const std::int64_t group = vector / p.vectors, within = vector % p.vectors;
  return p.data + ((group * p.tiles + slot) * p.vectors + within) * kWidth;
}

// Pixels that all lie inside.
struct Inside {
  const float* first;
  std::int64_t row_stride, channels;
  FJORD_HD Vector operator()(int row, int column) const {
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

template <int size, Points points>
FJORD_HD void to_points(const Patch& p, const PixelPoints& to, std::int64_t slot) {
  const bool inside = p.y >= 0 && p.x >= 0 && p.y + size <= p.h && p.x + size <= p.w;
  const std::int64_t whole = inside ? p.channels / kWidth : 0;
  for (std::int64_t i = 0; i < whole; ++i) {
    const float* first = p.image + (p.y * p.w + p.x) * p.channels + i * kWidth;
    transform<size, kPoints, points>(Inside{first, p.w * p.channels, p.channels},
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
      store_aligned(place(to, slot, i) + point * to.plane, Vector{});
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

FJORD_HD std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

}  // namespace

void winograd_fence() { fence(); }

void winograd_input(const Patch& p, const PixelPoints& to, std::int64_t slot) {
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
    const float* from = products.data + (i * products.tiles + slot) * kWidth;
    transform<kPoints, kOutputs, output_points>(
        Products{from, products.plane},
        Finish{t, least(kOutputs, t.h - t.y), least(kOutputs, t.w - t.x), channel, count, bias});
  }
}

}  // namespace fjord::FJORD_ISA
