// Statistics of bands, and the kinds of --normalize.
#include "data/normalize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/image.h"
#include "data/sample.h"

namespace fjord {

namespace {

// Sums of one image, added in the order of the samples afterwards.
struct BandSums {
  std::vector<double> sum, sum_of_squares, min, max;
  std::int64_t pixels = 0;
};

template <class T>
void add_pixels(const Image& image, BandSums& sums) {
  const auto bands = static_cast<std::size_t>(image.bands);
  const auto pixels = image.as<T>();
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t band = i % bands;
    const auto value = static_cast<double>(pixels[i]);
    sums.sum[band] += value;
    sums.sum_of_squares[band] += value * value;
    sums.min[band] = std::min(sums.min[band], value);
    sums.max[band] = std::max(sums.max[band], value);
  }
}

BandSums sums_of(const Image& image) {
  const auto bands = static_cast<std::size_t>(image.bands);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  BandSums sums{std::vector<double>(bands), std::vector<double>(bands),
                std::vector<double>(bands, kInfinity), std::vector<double>(bands, -kInfinity),
                std::int64_t{image.height} * image.width};
  if (image.dtype == DType::u8)
    add_pixels<std::uint8_t>(image, sums);
  else if (image.dtype == DType::u16)
    add_pixels<std::uint16_t>(image, sums);
  else
    add_pixels<float>(image, sums);
  return sums;
}

void add(BandSums& total, const BandSums& one) {
  for (std::size_t band = 0; band < total.sum.size(); ++band) {
    total.sum[band] += one.sum[band];
    total.sum_of_squares[band] += one.sum_of_squares[band];
    total.min[band] = std::min(total.min[band], one.min[band]);
    total.max[band] = std::max(total.max[band], one.max[band]);
  }
  total.pixels += one.pixels;
}

[[noreturn]] void throw_kind(const std::string& kind, std::string why) {
  throw Error(ExitCode::usage, "normalize", fmt::format("--normalize {}", printable(kind)),
              std::move(why), "use --normalize stats");
}

}  // namespace

BandStatistics band_statistics(std::span<const Sample> samples, int threads) {
  std::vector<BandSums> sums(samples.size());
  for_each_sample(static_cast<std::int64_t>(samples.size()), threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    sums[at] = sums_of(read_image(samples[at].image));
  });
  BandStatistics result;
  if (sums.empty()) return result;
  BandSums total = sums[0];
  for (std::size_t i = 1; i < sums.size(); ++i) {
    if (sums[i].sum.size() != total.sum.size())
      throw Error(
          ExitCode::dataset, "bands",
          fmt::format("{}: {} bands, but {} has {}", printable(samples[i].image.native()),
                      sums[i].sum.size(), printable(samples[0].image.native()), total.sum.size()),
          "statistics are taken per band over the whole training set",
          "use --normalize unit, or make the images alike");
    add(total, sums[i]);
  }
  result.pixels = total.pixels;
  result.min = total.min, result.max = total.max;
  const auto n = static_cast<double>(total.pixels);
  for (std::size_t band = 0; band < total.sum.size(); ++band) {
    const double mean = total.sum[band] / n;
    result.mean.push_back(mean);
    result.std.push_back(std::sqrt(std::max(0.0, total.sum_of_squares[band] / n - mean * mean)));
  }
  return result;
}

std::vector<float> Normalization::scale() const {
  std::vector<float> scale;
  for (const double s : std) scale.push_back(static_cast<float>(1 / (range * s)));
  if (kind == "none") std::fill(scale.begin(), scale.end(), 1.0f);
  return scale;
}

std::vector<float> Normalization::offset() const {
  std::vector<float> offset;
  for (std::size_t i = 0; i < mean.size(); ++i)
    offset.push_back(static_cast<float>(-mean[i] / std[i]));
  if (kind == "none") std::fill(offset.begin(), offset.end(), 0.0f);
  return offset;
}

std::string Normalization::text() const {
  return nlohmann::json{{"kind", kind}, {"range", range}, {"mean", mean}, {"std", std}}.dump();
}

Normalization Normalization::parse(std::string_view text) {
  Normalization result;
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("kind").get_to(result.kind);
    json.at("range").get_to(result.range);
    json.at("mean").get_to(result.mean);
    json.at("std").get_to(result.std);
  } catch (const nlohmann::json::exception&) {
    result.mean.clear();
  }
  const auto sane = [&] {
    if (result.mean.empty() || result.mean.size() != result.std.size()) return false;
    const auto finite = [](double v) { return std::isfinite(v); };
    const auto positive = [](double v) { return std::isfinite(v) && v > 0; };
    return positive(result.range) && std::all_of(result.mean.begin(), result.mean.end(), finite) &&
           std::all_of(result.std.begin(), result.std.end(), positive);
  };
  if (!sane())
    throw Error(
        ExitCode::model_file, "normalization",
        fmt::format("the model's normalisation is unreadable: {}", printable(text.substr(0, 200))),
        "it holds kind, range, mean and std", "use --normalize");
  return result;
}

double default_range(DType dtype) {
  return dtype == DType::u8 ? 255.0 : dtype == DType::u16 ? 65535.0 : 1.0;
}

Normalization make_normalization(const NormalizeOptions& options, int channels, DType dtype,
                                 std::span<const Sample> training, int threads) {
  Normalization result;
  result.kind = !options.kind.empty() ? options.kind : channels == 3 ? "imagenet" : "stats";
  result.range = options.range.value_or(default_range(dtype));
  if (!(result.range > 0) || !std::isfinite(result.range))
    throw Error(ExitCode::usage, "range", fmt::format("--range {}", result.range),
                "it is the pixel value that counts as 1, above 0", "use --range 255");
  const auto n = static_cast<std::size_t>(channels);
  if (result.kind == "imagenet") {
    if (channels != 3)
      throw_kind("imagenet", fmt::format("it is for 3 channels, these images have {}", channels));
    result.mean = {0.485, 0.456, 0.406};
    result.std = {0.229, 0.224, 0.225};
  } else if (result.kind == "half") {
    result.mean.assign(n, 0.5);
    result.std.assign(n, 0.5);
  } else if (result.kind == "seed") {
    result.mean.assign(n, 0.5);
    result.std.assign(n, 1 / 3.2);
  } else if (result.kind == "unit" || result.kind == "none") {
    result.mean.assign(n, 0.0);
    result.std.assign(n, 1.0);
  } else if (result.kind == "stats") {
    const BandStatistics bands = band_statistics(training, threads);
    const bool grey = bands.mean.size() == 1 && channels == 3;  // repeated
    if (!grey && bands.mean.size() != n)
      throw Error(ExitCode::dataset, "bands",
                  fmt::format("the training images have {} bands", bands.mean.size()),
                  fmt::format("the model reads {}", channels),
                  fmt::format("use --in-channels {}", bands.mean.size()));
    for (std::size_t i = 0; i < n; ++i) {
      const double deviation = bands.std[grey ? 0 : i];
      result.mean.push_back(bands.mean[grey ? 0 : i] / result.range);
      // A constant band carries nothing; dividing by 0 would carry NaN.
      result.std.push_back(deviation > 0 ? deviation / result.range : 1.0);
    }
  } else {
    throw_kind(result.kind, "the kinds are imagenet, half, stats, seed, unit and none");
  }
  return result;
}

}  // namespace fjord
