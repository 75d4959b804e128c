// Pixel values to network input: one scale and offset per channel.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "kernels/view.h"

namespace fjord {

/// Figures of every band over a set of images, of x as stored; the same for any thread count.
struct BandStatistics {
  std::vector<double> mean, std, min, max;
  std::int64_t pixels = 0;
};

/// Reads every image once. Throws Error{dataset} for images that differ in bands.
BandStatistics band_statistics(std::span<const Sample> samples, int threads);

/// y = (x / range - mean) / std per channel, as stored with a model.
struct Normalization {
  std::string kind = "unit";  // imagenet, half, stats, seed, unit or none
  double range = 255;         // the value that counts as 1
  std::vector<double> mean, std;

  int channels() const { return static_cast<int>(mean.size()); }
  std::vector<float> scale() const;  // y = x * scale + offset
  std::vector<float> offset() const;
  bool operator==(const Normalization&) const = default;

  /// JSON: {"kind":"imagenet","mean":[...],"range":255.0,"std":[...]}.
  std::string text() const;
  /// Reads text(). Throws Error{model_file}.
  static Normalization parse(std::string_view text);
};

/// What the user said: --normalize (empty: imagenet for 3 channels, stats otherwise) and --range.
struct NormalizeOptions {
  std::string kind;
  std::optional<double> range;
};

/// The value that counts as 1: 255, 65535 or 1 by type.
double default_range(DType dtype);

/// Throws Error{usage} for an unknown kind and for imagenet with other than 3 channels. The
/// training samples are read only for stats.
Normalization make_normalization(const NormalizeOptions& options, int channels, DType dtype,
                                 std::span<const Sample> training, int threads);

}  // namespace fjord
