// Nearest by integer division; linear and area as weighted taps, one axis after the other.
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/error.h"

namespace fjord {

namespace {

// Source pixels `first ...` and their weights for each output position of one axis.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

Taps linear_taps(std::int64_t i, std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double position =
      std::clamp((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0, static_cast<double>(in - 1));
  const auto first = static_cast<std::int64_t>(position);
  const double f = position - static_cast<double>(first);
  if (f == 0) return {first, {1.0}};
  return {first, {1 - f, f}};
}

Taps area_taps(std::int64_t i, std::int64_t in, std::int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double begin = static_cast<double>(i) * scale, end = begin + scale;
  Taps taps{i * in / out, {}};
  const std::int64_t last = std::min(in, ((i + 1) * in + out - 1) / out);
  for (std::int64_t k = taps.first; k < last; ++k)
    taps.weights.push_back(
        (std::min(end, static_cast<double>(k + 1)) - std::max(begin, static_cast<double>(k))) /
        scale);
  return taps;
}

std::vector<Taps> axis_taps(std::int64_t in, std::int64_t out, Resampling method) {
  std::vector<Taps> taps;
  for (std::int64_t i = 0; i < out; ++i)
    taps.push_back(method == Resampling::area && out < in ? area_taps(i, in, out)
                                                          : linear_taps(i, in, out));
  return taps;
}

template <class T>
T rounded(double value) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(value);
  return static_cast<T>(std::floor(value + 0.5));  // weights sum to 1: never out of the type
}

template <class T>
void resample(const Image& in, Image& out, Resampling method) {
  const auto columns = axis_taps(in.width, out.width, method);
  const auto rows = axis_taps(in.height, out.height, method);
  const std::int64_t bands = in.bands, line = out.width * bands;
  const T* source = in.as<T>().data();
  T* target = out.as<T>().data();
  const auto narrow = [&](std::int64_t y, double weight, std::vector<double>& sums) {
    const T* row = source + y * in.width * bands;
    for (std::int64_t x = 0; x < out.width; ++x) {
      const Taps& taps = columns[static_cast<std::size_t>(x)];
      for (std::size_t k = 0; k < taps.weights.size(); ++k)
        for (std::int64_t c = 0; c < bands; ++c)
          sums[static_cast<std::size_t>(x * bands + c)] +=
              weight * taps.weights[k] *
              static_cast<double>(row[(taps.first + static_cast<std::int64_t>(k)) * bands + c]);
    }
  };
  std::vector<double> sums(static_cast<std::size_t>(line));
  for (std::int64_t y = 0; y < out.height; ++y) {
    const Taps& taps = rows[static_cast<std::size_t>(y)];
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t k = 0; k < taps.weights.size(); ++k)
      narrow(taps.first + static_cast<std::int64_t>(k), taps.weights[k], sums);
    for (const double sum : sums) *target++ = rounded<T>(sum);
  }
}

std::size_t pixel_bytes(const Image& image) {
  return static_cast<std::size_t>(image.bands) * size_of(image.dtype);
}

// Each output pixel is one source pixel, found along each axis on its own.
template <class SourceRow, class SourceColumn>
void pick(const std::byte* source, std::int64_t source_width, std::byte* target,
          std::int64_t height, std::int64_t width, std::size_t bytes, SourceRow source_row,
          SourceColumn source_column) {
  std::vector<std::int64_t> columns(static_cast<std::size_t>(width));
  for (std::int64_t x = 0; x < width; ++x) columns[static_cast<std::size_t>(x)] = source_column(x);
  for (std::int64_t y = 0; y < height; ++y) {
    const std::byte* row = source + source_row(y) * source_width * static_cast<std::int64_t>(bytes);
    for (const std::int64_t x : columns) {
      std::memcpy(target, row + x * static_cast<std::int64_t>(bytes), bytes);
      target += bytes;
    }
  }
}

auto nearest_of(std::int64_t in, std::int64_t out) {
  return [=](std::int64_t i) { return i * in / out; };
}

// 0 1 2 3 | 2 1 0 1 2 ...
auto reflected_in(std::int64_t in) {
  return [=](std::int64_t i) {
    if (in == 1) return std::int64_t{0};
    const std::int64_t period = 2 * (in - 1), k = i % period;
    return k < in ? k : period - k;
  };
}

Image like(const Image& image, std::int64_t height, std::int64_t width) {
  Image result =
      make_image(static_cast<int>(height), static_cast<int>(width), image.bands, image.dtype);
  result.format = image.format;
  result.orientation = image.orientation;
  result.palette = image.palette;
  result.nodata = image.nodata;
  result.notes = image.notes;
  return result;
}

}  // namespace

Image resize_image(const Image& image, std::int64_t height, std::int64_t width, Resampling method) {
  check(height > 0 && width > 0, "resize_image", "expects a positive size, got {}x{}", height,
        width);
  if (image.height == height && image.width == width) return image;
  Image result = like(image, height, width);
  if (method == Resampling::nearest)
    pick(image.pixels.data(), image.width, result.pixels.data(), height, width, pixel_bytes(image),
         nearest_of(image.height, height), nearest_of(image.width, width));
  else if (image.dtype == DType::u8)
    resample<std::uint8_t>(image, result, method);
  else if (image.dtype == DType::u16)
    resample<std::uint16_t>(image, result, method);
  else
    resample<float>(image, result, method);
  return result;
}

std::vector<std::uint8_t> resize_label(std::span<const std::uint8_t> label,
                                       std::int64_t from_height, std::int64_t from_width,
                                       std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> result(static_cast<std::size_t>(height * width));
  pick(reinterpret_cast<const std::byte*>(label.data()), from_width,
       reinterpret_cast<std::byte*>(result.data()), height, width, 1,
       nearest_of(from_height, height), nearest_of(from_width, width));
  return result;
}

Image pad_image(const Image& image, std::int64_t height, std::int64_t width) {
  height = std::max<std::int64_t>(height, image.height);
  width = std::max<std::int64_t>(width, image.width);
  Image result = like(image, height, width);
  pick(image.pixels.data(), image.width, result.pixels.data(), height, width, pixel_bytes(image),
       reflected_in(image.height), reflected_in(image.width));
  return result;
}

std::vector<std::uint8_t> pad_label(std::span<const std::uint8_t> label, std::int64_t from_height,
                                    std::int64_t from_width, std::int64_t height,
                                    std::int64_t width) {
  height = std::max(height, from_height);
  width = std::max(width, from_width);
  std::vector<std::uint8_t> result(static_cast<std::size_t>(height * width));
  pick(reinterpret_cast<const std::byte*>(label.data()), from_width,
       reinterpret_cast<std::byte*>(result.data()), height, width, 1, reflected_in(from_height),
       reflected_in(from_width));
  return result;
}

}  // namespace fjord
