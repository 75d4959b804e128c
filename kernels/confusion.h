// The confusion matrix: which class each pixel has and which one it was given.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "kernels/kernel.h"

namespace fjord {

/// One logit channel: foreground where logit > threshold_logit. More: the largest logit, the first
/// of equals; the threshold is not used.
struct Confusion {
  double threshold_logit = 0;
  std::optional<int> ignore = 255;
};

/// The logit above which a sigmoid is above `threshold`: 0 for 0.5. Pixels exactly at the threshold
/// are background (SMP's get_stats counts them as foreground).
inline double threshold_logit(double threshold) { return std::log(threshold / (1 - threshold)); }

/// Classes that are counted: background and foreground for one logit channel.
constexpr std::int64_t confusion_classes(std::int64_t channels) {
  return channels == 1 ? 2 : channels;
}

/// Cells of the counts: K x K, rows = truth, columns = prediction; then the pixels with a NaN
/// logit, which count nowhere else.
constexpr std::int64_t confusion_cells(std::int64_t classes) { return classes * classes + 1; }

/// logits, label (u8, n x h x w x 1) -> counts (i64, confusion_cells values, added to). Labels that
/// are ignored, or outside of 0..K-1, count nowhere.
inline Kernel<In, In, InOut, Confusion> confusion_count{"confusion_count"};

}  // namespace fjord
