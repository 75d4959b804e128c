// Per-image counts, borders of masks, confidence.
#include "engine/image_scores.h"

#include <algorithm>
#include <cmath>

namespace fjord {
namespace {

using Mask = std::vector<std::uint8_t>;

// Whether all of the `distance` values before and after each of a line are set, none outside of it.
void erode_line(const std::uint8_t* from, std::uint8_t* to, int length, std::ptrdiff_t step,
                int distance) {
  int last_clear = -1, run = 0;  // of the window's far end
  for (int i = -distance; i < length; ++i) {
    const int far = i + distance;
    if (far >= length || from[far * step] == 0) last_clear = far;
    run = far - last_clear;
    if (i >= 0) to[i * step] = run > 2 * distance;
  }
}

// The pixels of a mask that are `distance` or nearer to its border.
Mask border(const Mask& mask, int height, int width, int distance) {
  Mask rows(mask.size()), inside(mask.size());
  for (int y = 0; y < height; ++y) {
    const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
    erode_line(mask.data() + at, rows.data() + at, width, 1, distance);
  }
  for (int x = 0; x < width; ++x)
    erode_line(rows.data() + x, inside.data() + x, height, width, distance);
  for (std::size_t i = 0; i < mask.size(); ++i) inside[i] = mask[i] && !inside[i];
  return inside;
}

double confidence_of(const float* logits, int channels, int predicted) {
  if (channels == 1) {
    const double p = 1 / (1 + std::exp(-static_cast<double>(logits[0])));
    return predicted == 1 ? p : 1 - p;
  }
  double sum = 0;
  for (int c = 0; c < channels; ++c)
    sum += std::exp(static_cast<double>(logits[c]) - static_cast<double>(logits[predicted]));
  return 1 / sum;
}

}  // namespace

int boundary_distance(int height, int width) {
  return std::max(1, static_cast<int>(std::lround(0.02 * std::hypot(height, width))));
}

BoundaryCounts boundary_counts(std::span<const std::uint8_t> truth,
                               std::span<const std::uint8_t> prediction, int height, int width,
                               int label, int distance) {
  Mask a(truth.size()), b(truth.size());
  std::transform(truth.begin(), truth.end(), a.begin(), [=](int t) { return t == label; });
  std::transform(prediction.begin(), prediction.end(), b.begin(),
                 [=](int p) { return p == label; });
  a = border(a, height, width, distance);
  b = border(b, height, width, distance);
  BoundaryCounts counts;
  for (std::size_t i = 0; i < a.size(); ++i) {
    counts.both += a[i] && b[i];
    counts.either += a[i] || b[i];
  }
  return counts;
}

Figure boundary_iou(const BoundaryCounts& counts) {
  if (counts.either == 0) return {};
  return static_cast<double>(counts.both) / static_cast<double>(counts.either);
}

void Calibration::add(double confidence, bool right) {
  // Bins are open below and closed above, as in the paper.
  const int bin = std::clamp(static_cast<int>(std::ceil(confidence * kBins)) - 1, 0, kBins - 1);
  Bin& to = bins[static_cast<std::size_t>(bin)];
  to.pixels += 1;
  to.right += right;
  to.confidence += confidence;
}

Figure Calibration::error() const {
  double sum = 0;
  std::int64_t pixels = 0;
  for (const Bin& bin : bins) {
    sum += std::fabs(static_cast<double>(bin.right) - bin.confidence);
    pixels += bin.pixels;
  }
  if (pixels == 0) return {};
  return sum / static_cast<double>(pixels);
}

void ImageScores::add(const std::string& image, std::span<const std::uint8_t> truth,
                      std::span<const std::uint8_t> prediction, int height, int width) {
  ImageScore score{image, ConfusionMatrix(channels_), {}};
  score.confusion.add(truth, prediction);
  Mask counted(prediction.begin(), prediction.end());
  const int classes = score.confusion.classes();
  for (std::size_t i = 0; i < counted.size(); ++i)
    if (truth[i] >= classes) counted[i] = truth[i];
  const int distance = boundary_distance(height, width);
  for (int c = 0; c < classes; ++c)
    score.boundary.push_back(boundary_counts(truth, counted, height, width, c, distance));
  images_.push_back(std::move(score));
}

void ImageScores::add_logits(std::span<const std::uint8_t> truth,
                             std::span<const std::uint8_t> prediction,
                             std::span<const float> logits) {
  const std::size_t channels = static_cast<std::size_t>(channels_);
  check(logits.size() == truth.size() * channels, "image scores",
        "{} logits for {} pixels of {} channels", logits.size(), truth.size(), channels);
  for (std::size_t i = 0; i < truth.size(); ++i)
    if (truth[i] < confusion_classes(channels_))
      calibration_.add(confidence_of(logits.data() + i * channels, channels_, prediction[i]),
                       truth[i] == prediction[i]);
}

std::vector<Figure> ImageScores::boundary_iou() const {
  std::vector<BoundaryCounts> sums(static_cast<std::size_t>(confusion_classes(channels_)));
  for (const ImageScore& image : images_)
    for (std::size_t c = 0; c < sums.size(); ++c) {
      sums[c].both += image.boundary[c].both;
      sums[c].either += image.boundary[c].either;
    }
  std::vector<Figure> figures;
  for (const BoundaryCounts& sum : sums) figures.push_back(fjord::boundary_iou(sum));
  return figures;
}

PixelStats ImageScores::stats() const {
  PixelStats stats{static_cast<std::int64_t>(images_.size()), channels_, {}, {}, {}, {}};
  const int first = channels_ == 1 ? 1 : 0, end = channels_ == 1 ? 2 : channels_;
  for (const ImageScore& image : images_)
    for (int c = first; c < end; ++c) {
      std::int64_t truth = 0, prediction = 0;
      for (int k = 0; k < image.confusion.classes(); ++k) {
        truth += image.confusion.at(c, k);
        prediction += image.confusion.at(k, c);
      }
      const std::int64_t hit = image.confusion.at(c, c);
      stats.tp.push_back(hit);
      stats.fp.push_back(prediction - hit);
      stats.fn.push_back(truth - hit);
      stats.tn.push_back(image.confusion.pixels() - truth - prediction + hit);
    }
  return stats;
}

}  // namespace fjord
