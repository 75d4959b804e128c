// The confusion matrix, pixel by pixel.
#include "kernels/confusion.h"

#include <algorithm>

#include "tests/reference/reference.h"

namespace fjord::reference {
namespace {

void confusion(In logits, In label, InOut counts, Confusion rule, Stream&) {
  const std::int64_t channels = logits.shape().c, classes = channels == 1 ? 2 : channels;
  for (std::int64_t i = 0; i < logits.shape().pixels(); ++i) {
    const int truth = label.as<std::uint8_t>()[i];
    if (truth == rule.ignore || truth >= classes) continue;
    const double* z = logits.as<double>() + i * channels;
    const bool finite = std::none_of(z, z + channels, [](double x) { return std::isnan(x); });
    const std::int64_t guess = channels == 1 ? (z[0] > rule.threshold_logit ? 1 : 0)
                                             : std::max_element(z, z + channels) - z;
    ++counts.as<std::int64_t>()[finite ? truth * classes + guess : classes * classes];
  }
}

}  // namespace

void fill_confusion() { confusion_count.reference = confusion; }

}  // namespace fjord::reference
