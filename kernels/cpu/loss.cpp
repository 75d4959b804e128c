// Region and pixel losses on the CPU: one pass for all sums. The per-pixel work reads each logit
// once and keeps a pixel's probabilities on the stack. Their gradient: loss_gradient.cpp.
#include "kernels/cpu/loss.h"

#include <array>
#include <optional>
#include <vector>

namespace fjord {
namespace {

// Where the sums of a chunk stand: six per class, of them two of the focal loss; then two per pixel
// loss, of its values and of the labels' weights.
struct Sums {
  static constexpr int kKinds = 6;

  std::vector<double> values;
  int classes, pixel_losses;

  Sums(int classes, int pixel_losses, std::int64_t chunks)
      : values(static_cast<std::size_t>(chunks * width(classes, pixel_losses))),
        classes(classes),
        pixel_losses(pixel_losses) {}
  static std::int64_t width(int classes, int pixel_losses) {
    return kKinds * classes + 2 * pixel_losses;
  }
  double* of(std::int64_t chunk) { return values.data() + chunk * width(classes, pixel_losses); }
  const double* kinds(int c) const { return values.data() + kKinds * c; }
  RegionSums region(int c) const { return {kinds(c)[0], kinds(c)[1], kinds(c)[2], kinds(c)[3]}; }
  FocalTerm<double> focal(int c) const { return {kinds(c)[4], kinds(c)[5]}; }
  double pixel(int k) const { return kinds(classes)[2 * k]; }
  double label_weight(int k) const { return kinds(classes)[2 * k + 1]; }
  // Adds every chunk's sums, in order, to those of the first.
  void fold(std::int64_t chunks) {
    for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
      for (std::int64_t i = 0; i < width(classes, pixel_losses); ++i)
        values[static_cast<std::size_t>(i)] += of(chunk)[i];
  }
};

// Adds one probability and label, or one logit and label, to the sums of a class.
void add_region(double* kinds, float p, float t) {
  kinds[0] += static_cast<double>(p);
  kinds[1] += static_cast<double>(t);
  kinds[2] += static_cast<double>(std::fabs(p - t));
}

void add_focal(double* kinds, const Focal<float>& focal, float z, float t) {
  const FocalTerm<float> term = focal.value(z, t);
  kinds[4] += static_cast<double>(term.value);
  kinds[5] += static_cast<double>(term.factor);
}

void sum_elements(In logits, In label, const LossTerms& terms, std::int64_t begin, std::int64_t end,
                  double* sums) {
  const int classes = static_cast<int>(logits.shape().c);
  const ElementLabel labels(label, terms.label);
  const float* z = logits.as<float>();
  const std::optional<Focal<float>> focal = focal_of(terms);
  double* pixel_sums = sums + Sums::kKinds * classes;
  for (std::int64_t i = begin * classes; i < end * classes; ++i) {
    if (!labels.counts(i)) continue;
    const int c = static_cast<int>(i % classes);
    const float t = labels[i];
    double* kinds = sums + Sums::kKinds * c;
    if (!terms.regions.empty()) add_region(kinds, sigmoid(z[i]), t);
    kinds[3] += 1;
    if (focal) add_focal(kinds, *focal, z[i], t);
    for (std::size_t k = 0; k < terms.pixels.size(); ++k)
      pixel_sums[2 * k] += weight_of(terms.pixels[k], c) *
                           static_cast<double>(bce_of(terms.pixels[k], c).value(z[i], t));
  }
}

double softce_value(const PixelLoss& loss, const float* z, int classes, int label, double log_sum) {
  double sum_log_p = 0;
  if (loss.smooth > 0)
    for (int c = 0; c < classes; ++c)
      sum_log_p += weight_of(loss, c) * (static_cast<double>(z[c]) - log_sum);
  return SoftCe<double>{loss.smooth, loss.smooth / classes}.value(
      weight_of(loss, label), static_cast<double>(z[label]) - log_sum, sum_log_p);
}

void sum_classes(In logits, In label, const LossTerms& terms, std::int64_t begin, std::int64_t end,
                 double* sums) {
  const int classes = static_cast<int>(logits.shape().c);
  const std::optional<Focal<float>> focal = focal_of(terms);
  double* pixel_sums = sums + Sums::kKinds * classes;
  std::array<float, kMaxClasses> p;
  for (std::int64_t i = begin; i < end; ++i) {
    const int t = class_of(label.as<std::uint8_t>()[i], classes, terms.label);
    if (t < 0) continue;
    const float* z = logits.as<float>() + i * classes;
    const double log_sum = softmax(z, classes, p.data());
    for (int c = 0; c < classes; ++c) {
      double* kinds = sums + Sums::kKinds * c;
      const float hot = c == t ? 1.0f : 0.0f;
      if (!terms.regions.empty()) add_region(kinds, p[static_cast<std::size_t>(c)], hot);
      kinds[3] += 1;
      if (focal) add_focal(kinds, *focal, z[c], hot);
    }
    for (std::size_t k = 0; k < terms.pixels.size(); ++k) {
      pixel_sums[2 * k] += softce_value(terms.pixels[k], z, classes, t, log_sum);
      pixel_sums[2 * k + 1] += weight_of(terms.pixels[k], t);
    }
  }
}

// --- from sums to the loss and its slopes ---

double finish_region(const RegionLoss& loss, const Sums& sums, double* slopes) {
  const RegionScore score{{loss.alpha, loss.beta, loss.smooth, loss.eps, loss.log_loss},
                          loss.score};
  double mean = 0;
  for (int c = 0; c < sums.classes; ++c)
    if (score.counts(sums.region(c)))
      mean += loss.share[static_cast<std::size_t>(c)] * score(sums.region(c)).value;
  const RegionPower power{loss.weight, loss.gamma, loss.log_cosh};
  const double outer = power.slope(mean);
  for (int c = 0; c < sums.classes; ++c) {
    if (!score.counts(sums.region(c))) continue;
    const RegionValue value = score(sums.region(c));
    slopes[2 * c] += outer * loss.share[static_cast<std::size_t>(c)] * value.dp;
    slopes[2 * c + 1] += outer * loss.share[static_cast<std::size_t>(c)] * value.dd;
  }
  return power.value(mean);
}

double finish_focal(const FocalLoss& loss, const Sums& sums, double* slopes) {
  const FocalMean mean{loss.weight, loss.normalized, loss.sum};
  double value = 0;
  for (int c = 0; c < sums.classes; ++c) {
    const FocalMean::Value part =
        mean(loss.share[static_cast<std::size_t>(c)], sums.region(c).n, sums.focal(c));
    value += part.value;
    slopes[2 * c] = part.by_value;
    slopes[2 * c + 1] = part.by_factor;
  }
  return value;
}

// What the mean of every pixel's value divides by.
double divisor(const PixelLoss& loss, Shape logits, double label_weight) {
  if (loss.sum) return 1;
  if (loss.kind == PixelLoss::Kind::bce) return static_cast<double>(logits.count());
  return loss.class_weights.empty() ? static_cast<double>(logits.pixels()) : label_weight;
}

double finish(const LossTerms& terms, Shape logits, const Sums& sums, double* slopes) {
  std::fill_n(slopes, loss_slope_count(logits.c, terms), 0.0);
  double loss = 0;
  for (const RegionLoss& region : terms.regions) loss += finish_region(region, sums, slopes);
  for (int k = 0; k < sums.pixel_losses; ++k) {
    const PixelLoss& pixel = terms.pixels[static_cast<std::size_t>(k)];
    double& factor = slopes[2 * logits.c + k];
    factor = pixel_factor(pixel.weight, divisor(pixel, logits, sums.label_weight(k)));
    loss += factor * sums.pixel(k);
  }
  if (terms.focal)
    loss += finish_focal(*terms.focal, sums, slopes + 2 * logits.c + sums.pixel_losses);
  return loss;
}

void forward(In logits, In label, Out slopes, Out loss, const LossTerms& terms, Stream&) {
  require_f32(logits, "loss_forward");
  const Shape s = logits.shape();
  Sums sums(static_cast<int>(s.c), static_cast<int>(terms.pixels.size()),
            std::max<std::int64_t>(1, loss_chunks(s.pixels())));
  const auto sum = terms.label.form == LabelForm::elements ? sum_elements : sum_classes;
  for_each_chunk(s.pixels(), [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    sum(logits, label, terms, begin, end, sums.of(chunk));
  });
  sums.fold(loss_chunks(s.pixels()));
  write_loss(loss, finish(terms, s, sums, slopes.as<double>()));
}

}  // namespace

void fill_loss_kernels() { loss_forward.cpu = forward; }

}  // namespace fjord
