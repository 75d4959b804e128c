// Augmentation in double: each output pixel on its own, colour by the textbook's hexagon.
#include "kernels/augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

struct Point {
  double x, y;
};

Point source_of(const PixelMap& map, std::int64_t row, std::int64_t column) {
  const auto pixels = [](std::int64_t fixed) { return static_cast<double>(fixed) / 4294967296.0; };
  const auto r = static_cast<double>(row), c = static_cast<double>(column);
  return {pixels(map.xx) * c + pixels(map.xy) * r + pixels(map.x0),
          pixels(map.yx) * c + pixels(map.yy) * r + pixels(map.y0)};
}

double pixel_of(In x, std::int64_t n, std::int64_t row, std::int64_t column, std::int64_t band) {
  const Shape s = x.shape();
  if (row < 0 || row >= s.h || column < 0 || column >= s.w) return 0;
  const std::int64_t i = ((n * s.h + row) * s.w + column) * s.c + band;
  if (x.dtype() == DType::u8) return x.as<std::uint8_t>()[i];
  if (x.dtype() == DType::u16) return x.as<std::uint16_t>()[i];
  return x.as<double>()[i];
}

// The sum over all pixels of pixel times tent; tents have a reach of one pixel.
double interpolated(In x, std::int64_t n, Point at, std::int64_t band) {
  double sum = 0;
  for (double row = std::floor(at.y) - 1; row <= std::floor(at.y) + 2; ++row)
    for (double column = std::floor(at.x) - 1; column <= std::floor(at.x) + 2; ++column)
      sum +=
          std::max(0.0, 1 - std::abs(at.y - row)) * std::max(0.0, 1 - std::abs(at.x - column)) *
          pixel_of(x, n, static_cast<std::int64_t>(row), static_cast<std::int64_t>(column), band);
  return sum;
}

using Rgb = std::array<double, 3>;

// Hue, saturation and value, and back through chroma (Smith 1978).
Rgb shifted(Rgb color, HsvShift shift) {
  const double value = *std::max_element(color.begin(), color.end());
  const double chroma = value - *std::min_element(color.begin(), color.end());
  double hue = 0;
  if (chroma > 0) {
    if (value == color[0])
      hue = (color[1] - color[2]) / chroma;
    else if (value == color[1])
      hue = (color[2] - color[0]) / chroma + 2;
    else
      hue = (color[0] - color[1]) / chroma + 4;
  }
  hue = std::fmod(hue + static_cast<double>(shift.hue) / 60 + 12, 6.0);
  const double s = std::clamp((value > 0 ? chroma / value : 0) + shift.saturation, 0.0, 1.0);
  const double v = std::clamp(value + shift.value, 0.0, 1.0);
  Rgb result;
  for (int band = 0; band < 3; ++band) {
    const double k = std::fmod(std::array{5.0, 3.0, 1.0}[static_cast<std::size_t>(band)] + hue, 6);
    result[static_cast<std::size_t>(band)] = v - v * s * std::max(0.0, std::min({k, 4 - k, 1.0}));
  }
  return result;
}

void image(In x, In samples, In scale, In offset, Out y, AugmentImage a, Stream&) {
  const Shape in = x.shape(), out = y.shape();
  std::int64_t i = 0;
  for (std::int64_t n = 0; n < out.n; ++n)
    for (std::int64_t row = 0; row < out.h; ++row)
      for (std::int64_t column = 0; column < out.w; ++column) {
        const AugmentSample& sample = samples.as<AugmentSample>()[n];
        const Point at = source_of(sample.map, row, column);
        const bool outside = at.x <= -1 || at.y <= -1 || at.x >= static_cast<double>(in.w) ||
                             at.y >= static_cast<double>(in.h);
        Rgb color{};
        for (std::int64_t band = 0; band < out.c; ++band) {
          const double value = interpolated(x, n, at, band);
          if (band < 3) color[static_cast<std::size_t>(band)] = value / a.range;
        }
        if (sample.shift_color && !outside) color = shifted(color, sample.color);
        for (std::int64_t band = 0; band < out.c; ++band, ++i)
          put(y, i,
              (sample.shift_color ? color[static_cast<std::size_t>(band)] * a.range
                                  : interpolated(x, n, at, band)) *
                      scale.as<double>()[band] +
                  offset.as<double>()[band]);
      }
}

void label(In x, In samples, Out y, AugmentLabel a, Stream&) {
  const Shape in = x.shape(), out = y.shape();
  std::uint8_t* next = y.as<std::uint8_t>();
  for (std::int64_t n = 0; n < out.n; ++n)
    for (std::int64_t row = 0; row < out.h; ++row)
      for (std::int64_t column = 0; column < out.w; ++column) {
        const Point at = source_of(samples.as<AugmentSample>()[n].map, row, column);
        const double sx = std::floor(at.x + 0.5), sy = std::floor(at.y + 0.5);
        const bool inside =
            sx >= 0 && sy >= 0 && sx < static_cast<double>(in.w) && sy < static_cast<double>(in.h);
        *next++ = inside ? static_cast<std::uint8_t>(pixel_of(x, n, static_cast<std::int64_t>(sy),
                                                              static_cast<std::int64_t>(sx), 0))
                         : a.outside;
      }
}

}  // namespace

void fill_augment() {
  augment_image.reference = image;
  augment_label.reference = label;
}

}  // namespace fjord::reference
