// The golden recipe: the numbers that PyTorch was fed, remade from names alone, and the figures of
// a tensor that are compared. Flat indices are PyTorch's (N, C, H, W); fjord's memory is n x h x w
// x c.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/view.h"

namespace fjord::golden {

constexpr std::uint64_t fnv1a(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

/// Value j of the stream whose name has that hash: in [-1, 1), a multiple of 2^-23, so exact in
/// float.
constexpr double u(std::uint64_t hash, std::int64_t j) {
  std::uint64_t z = hash + (static_cast<std::uint64_t>(j) + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) * 2.0 / 16777216.0 - 1.0;
}

/// Value j of the stream `name`.
constexpr double u(std::string_view name, std::int64_t j) { return u(fnv1a(name), j); }

/// `count` values of the stream, in PyTorch's order.
inline std::vector<double> stream(std::string_view name, std::int64_t count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::int64_t j = 0; j < count; ++j) values[static_cast<std::size_t>(j)] = u(name, j);
  return values;
}

/// The value of a state_dict tensor: `key` is its full name ("encoder.conv1.weight"), `file_shape`
/// PyTorch's, j PyTorch's flat index. Rounded to f32, as the goldens were.
inline double parameter(std::string_view key, std::span<const std::int64_t> file_shape,
                        std::int64_t j) {
  if (key.ends_with("num_batches_tracked")) return 0;
  const double value = u(key, j);
  auto f32 = [](double x) { return static_cast<double>(static_cast<float>(x)); };
  if (key.ends_with("running_mean")) return f32(0.1 * value);
  if (key.ends_with("running_var")) return f32(1 + 0.25 * value);
  if (file_shape.size() >= 2) {
    std::int64_t fan_in = 1;
    for (std::int64_t extent : file_shape.subspan(1)) fan_in *= extent;
    return f32(value * std::sqrt(3.0 / static_cast<double>(fan_in)));
  }
  return key.ends_with("weight") ? f32(1 + 0.1 * value) : f32(0.1 * value);
}

/// From PyTorch's flat index to fjord's.
constexpr std::int64_t to_nhwc(std::int64_t flat, Shape s) {
  const std::int64_t w = flat % s.w, h = flat / s.w % s.h, c = flat / (s.w * s.h) % s.c;
  const std::int64_t n = flat / (s.w * s.h * s.c);
  return ((n * s.h + h) * s.w + w) * s.c + c;
}

/// The stream `name` as an n x h x w x c tensor in fjord's memory: inputs and logits.
inline std::vector<double> tensor(std::string_view name, Shape shape, double scale = 1) {
  std::vector<double> values(static_cast<std::size_t>(shape.count()));
  for (std::int64_t j = 0; j < shape.count(); ++j)
    values[static_cast<std::size_t>(to_nhwc(j, shape))] = scale * u(name, j);
  return values;
}

/// What the golden files keep of a tensor. `at` holds the values at PyTorch's flat indices 0, n/3,
/// n/2 and n - 1.
struct Figures {
  double mean = 0, absmean = 0, l2 = 0;
  std::array<double, 4> at{};
};

constexpr std::array<std::int64_t, 4> figure_indices(std::int64_t count) {
  return {0, count / 3, count / 2, count - 1};
}

/// The figures of a tensor in fjord's memory.
template <class T>
Figures figures(const T* values, Shape shape) {
  Figures f;
  const std::int64_t count = shape.count();
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(values[i]);
    f.mean += x / static_cast<double>(count);
    f.absmean += std::fabs(x) / static_cast<double>(count);
    squares += x * x;
  }
  f.l2 = std::sqrt(squares);
  const auto indices = figure_indices(count);
  for (std::size_t k = 0; k < 4; ++k)
    f.at[k] = static_cast<double>(values[to_nhwc(indices[k], shape)]);
  return f;
}

/// The larger of two errors; once NaN, always NaN.
inline double worse(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

/// The worst distance of two sets of figures: l2, mean and absmean relative to absmean or l2,
/// values relative to the golden tensor's rms.
inline double distance(const Figures& found, const Figures& golden, std::int64_t count) {
  const double rms = golden.l2 / std::sqrt(static_cast<double>(count));
  if (rms == 0) return found.l2;
  double worst = std::fabs(found.l2 - golden.l2) / golden.l2;
  worst = std::fmax(worst, std::fabs(found.absmean - golden.absmean) / rms);
  worst = std::fmax(worst, std::fabs(found.mean - golden.mean) / rms);
  for (std::size_t k = 0; k < 4; ++k)
    worst = std::fmax(worst, std::fabs(found.at[k] - golden.at[k]) / rms);
  return std::isfinite(found.l2) ? worst : INFINITY;
}

/// Class labels 0..classes-1 in n x h x w order (the same in both memories).
inline std::vector<std::uint8_t> class_labels(std::string_view name, std::int64_t count,
                                              int classes) {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  for (std::int64_t j = 0; j < count; ++j)
    labels[static_cast<std::size_t>(j)] =
        static_cast<std::uint8_t>(std::floor((u(name, j) + 1) / 2 * classes));
  return labels;
}

/// Binary labels: 1 where the stream is above the threshold.
inline std::vector<std::uint8_t> binary_labels(std::string_view name, std::int64_t count,
                                               double threshold) {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(count));
  for (std::int64_t j = 0; j < count; ++j)
    labels[static_cast<std::size_t>(j)] = u(name, j) > threshold;
  return labels;
}

}  // namespace fjord::golden
