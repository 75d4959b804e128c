// Scores beyond the confusion matrix: of each image, at the borders of objects, and of how sure a
// model is.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/metrics.h"
#include "engine/smp_metrics.h"

namespace fjord {

/// Cheng et al. 2021: of each mask only what lies within `distance` pixels of its border or of the
/// image's. Labels of both images that are no class (255: ignored) belong to no mask.
struct BoundaryCounts {
  std::int64_t both = 0, either = 0;  // pixels of the intersection and of the union
};
BoundaryCounts boundary_counts(std::span<const std::uint8_t> truth,
                               std::span<const std::uint8_t> prediction, int height, int width,
                               int label, int distance);
/// The paper's distance: 2 % of the diagonal, at least a pixel.
int boundary_distance(int height, int width);

/// Guo et al. 2017: pixels in bins by the probability of their predicted class.
struct Calibration {
  static constexpr int kBins = 15;
  struct Bin {
    std::int64_t pixels = 0, right = 0;
    double confidence = 0;  // summed
  };
  std::array<Bin, kBins> bins{};

  void add(double confidence, bool right);
  /// Mean over the pixels of |share of right ones - mean confidence| of their bin.
  Figure error() const;
};

struct ImageScore {
  std::string image;
  ConfusionMatrix confusion;
  std::vector<BoundaryCounts> boundary;  // per class
};

/// Scores of a split, image by image.
class ImageScores {
 public:
  /// `channels` are those of the logits: one means background and foreground.
  explicit ImageScores(int channels) : channels_(channels) {}

  /// Label images of height x width. Throws as ConfusionMatrix::add.
  void add(const std::string& image, std::span<const std::uint8_t> truth,
           std::span<const std::uint8_t> prediction, int height, int width);
  /// The logits that the latest image's prediction was made of, height x width x channels.
  void add_logits(std::span<const std::uint8_t> truth, std::span<const std::uint8_t> prediction,
                  std::span<const float> logits);

  const std::vector<ImageScore>& images() const { return images_; }
  const Calibration& calibration() const { return calibration_; }
  /// Per class, of the pixels of all images together.
  std::vector<Figure> boundary_iou() const;
  /// As smp.metrics.get_stats counts: the foreground alone for one channel.
  PixelStats stats() const;

 private:
  int channels_;
  std::vector<ImageScore> images_;
  Calibration calibration_;
};

Figure boundary_iou(const BoundaryCounts& counts);

}  // namespace fjord
