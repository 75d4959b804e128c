// The metrics of segmentation_models.pytorch (smp.metrics): counts per image and class, scores,
// reductions, with its conventions where they are unusual.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/view.h"

namespace fjord {

/// images x classes counts, image by image.
struct PixelStats {
  std::int64_t images = 0, classes = 0;
  std::vector<std::int64_t> tp, fp, fn, tn;
};

/// smp.metrics.get_stats, mode "multiclass": class numbers of `shape` n x h x w x 1. Ignored pixels
/// count nowhere; labels outside of 0..classes-1 are in no class.
PixelStats class_stats(std::span<const std::int64_t> output, std::span<const std::int64_t> target,
                       Shape shape, int classes, std::optional<std::int64_t> ignore = {});

/// Modes "binary" and "multilabel": n x h x w x c values, positive where >= threshold (SMP's rule).
PixelStats element_stats(std::span<const double> output, std::span<const double> target,
                         Shape shape, double threshold = 0.5);

enum class Score : std::uint8_t {
  fbeta,  // F1 with beta = 1
  iou,
  accuracy,
  recall,  // sensitivity
  specificity,
  balanced_accuracy,
  precision,  // positive predictive value
  negative_predictive_value,
  false_negative_rate,
  false_positive_rate,
  false_discovery_rate,
  false_omission_rate,
  positive_likelihood_ratio,
  negative_likelihood_ratio,
};

/// micro: all counts summed. macro: images summed, mean over classes. imagewise: per image first.
enum class Reduction : std::uint8_t {
  none,
  micro,
  macro,
  weighted,
  micro_imagewise,
  macro_imagewise,
  weighted_imagewise,
};

/// The 17 names of smp.metrics (fbeta_score with beta = 1; some are other words for the same), and
/// those of its reductions.
struct NamedScore {
  std::string_view name;
  Score score;
};
struct NamedReduction {
  std::string_view name;
  Reduction reduction;
};
std::span<const NamedScore> smp_scores();
std::span<const NamedReduction> smp_reductions();

struct ScoreOptions {
  Reduction reduction = Reduction::none;
  std::vector<double> class_weights{};  // needed by weighted and weighted_imagewise
  double zero_division = 1;             // replaces 0 / 0, except in micro, which stays NaN
  double beta = 1;
};

/// One value, or images x classes of them for Reduction::none. As in SMP, macro and the imagewise
/// means with class weights divide by the number of classes once more. Throws Error{usage}.
std::vector<double> score(const PixelStats& stats, Score score, const ScoreOptions& options = {});

}  // namespace fjord
