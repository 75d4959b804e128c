// The confusion matrix on the CPU. Counts are integers, so their order does not matter.
#include "kernels/confusion.h"

#include <vector>

#include "kernels/cpu/loss.h"

namespace fjord {
namespace {

// The predicted class, or -1 when a logit is NaN.
int predicted(const float* z, int channels, const Confusion& rule) {
  for (int c = 0; c < channels; ++c)
    if (std::isnan(z[c])) return -1;
  if (channels == 1) return static_cast<double>(z[0]) > rule.threshold_logit;
  int best = 0;
  for (int c = 1; c < channels; ++c)
    if (z[c] > z[best]) best = c;
  return best;
}

void count(In logits, In label, InOut counts, Confusion rule, Stream&) {
  require_f32(logits, "confusion_count");
  const int channels = static_cast<int>(logits.shape().c);
  const std::int64_t classes = confusion_classes(channels), cells = confusion_cells(classes);
  const Chunks parts{logits.shape().pixels(), (logits.shape().pixels() + 15) / 16};
  std::vector<std::int64_t> found(static_cast<std::size_t>(cells * parts.pieces()), 0);
  const LabelRule labels{LabelForm::classes, rule.ignore};
  parallel_for(parts.pieces(), [&](std::int64_t part) {
    std::int64_t* cell = found.data() + part * cells;
    for (std::int64_t i = parts.begin(part); i < parts.begin(part) + parts.length(part); ++i) {
      const int truth = class_of(label.as<std::uint8_t>()[i], static_cast<int>(classes), labels);
      if (truth < 0) continue;
      const int guess = predicted(logits.as<float>() + i * channels, channels, rule);
      ++cell[guess < 0 ? cells - 1 : truth * classes + guess];
    }
  });
  for (std::size_t i = 0; i < found.size(); ++i)
    counts.as<std::int64_t>()[i % static_cast<std::size_t>(cells)] += found[i];
}

}  // namespace

void fill_confusion_kernels() { confusion_count.cpu = count; }

}  // namespace fjord
