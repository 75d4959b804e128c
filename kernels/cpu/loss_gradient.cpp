// The gradient of region and pixel losses on the CPU: one pass, with the slopes that the sums gave.
#include <array>
#include <optional>
#include <vector>

#include "kernels/cpu/loss.h"

namespace fjord {
namespace {

// Of each pixel loss the sum of its classes' weights.
std::vector<double> weight_sums(const LossTerms& terms, int classes) {
  std::vector<double> sums;
  for (const PixelLoss& loss : terms.pixels) {
    double& sum = sums.emplace_back();
    for (int c = 0; c < classes; ++c) sum += weight_of(loss, c);
  }
  return sums;
}

struct GradientPass {
  In logits, label, slope;
  const double* slopes;  // null without region and pixel losses
  float* dlogits;
  double scale;
  bool add;
  const LossTerms& terms;
  int classes;
  std::optional<Focal<float>> focal;
  std::vector<double> weight_sum;  // by pixel loss

  void write(std::int64_t i, double value) const {
    value *= scale;
    dlogits[i] = static_cast<float>(add ? static_cast<double>(dlogits[i]) + value : value);
  }
  double lovasz(std::int64_t i) const {
    return slope ? static_cast<double>(slope.as<float>()[i]) : 0.0;
  }

  // By logit z of class c, of the focal loss.
  double by_focal(int c, float z, float p, float t) const {
    const double* by = slopes + 2 * classes + terms.pixels.size() + 2 * c;
    const FocalTerm<float> term = focal->gradient(z, p, t);
    return by[0] * static_cast<double>(term.value) + by[1] * static_cast<double>(term.factor);
  }

  double element(const ElementLabel& labels, std::int64_t i) const {
    const int c = static_cast<int>(i % classes);
    const float z = logits.as<float>()[i], p = sigmoid(z), t = labels[i];
    const double by_p = slopes[2 * c] + slopes[2 * c + 1] * static_cast<double>(sign(p - t));
    double dz = by_p * static_cast<double>(p * (1 - p));
    for (std::size_t k = 0; k < terms.pixels.size(); ++k)
      dz += slopes[2 * classes + static_cast<int>(k)] * weight_of(terms.pixels[k], c) *
            static_cast<double>(bce_of(terms.pixels[k], c).gradient(p, t));
    if (focal) dz += by_focal(c, z, p, t);
    return dz;
  }

  void elements(std::int64_t begin, std::int64_t end) const {
    const ElementLabel labels(label, terms.label);
    for (std::int64_t i = begin * classes; i < end * classes; ++i)
      write(i, !labels.counts(i) ? 0.0 : lovasz(i) + (slopes ? element(labels, i) : 0.0));
  }

  // Adds the softmax cross-entropies of one pixel to dz.
  void softce(int t, const float* p, double* dz) const {
    for (std::size_t k = 0; k < terms.pixels.size(); ++k) {
      const PixelLoss& loss = terms.pixels[k];
      const SoftCe<double> formula{loss.smooth, loss.smooth / classes};
      const double factor = slopes[2 * classes + static_cast<int>(k)];
      for (int c = 0; c < classes; ++c)
        dz[c] += factor * formula.gradient(weight_of(loss, t), c == t, static_cast<double>(p[c]),
                                           weight_of(loss, c), weight_sum[k]);
    }
  }

  void pixel(std::int64_t i, int t) const {
    std::array<float, kMaxClasses> p;
    std::array<double, kMaxClasses> dz;
    const float* z = logits.as<float>() + i * classes;
    softmax(z, classes, p.data());
    double mean = 0;  // of the derivative by p, under p: softmax's gradient is p (dp - mean)
    for (int c = 0; c < classes; ++c) {
      const double pc = static_cast<double>(p[static_cast<std::size_t>(c)]);
      double dp = lovasz(i * classes + c);
      if (slopes) dp += slopes[2 * c] + slopes[2 * c + 1] * sign(pc - (c == t ? 1 : 0));
      dz[static_cast<std::size_t>(c)] = dp;
      mean += pc * dp;
    }
    for (int c = 0; c < classes; ++c) {
      double& value = dz[static_cast<std::size_t>(c)];
      value = static_cast<double>(p[static_cast<std::size_t>(c)]) * (value - mean);
    }
    if (slopes) softce(t, p.data(), dz.data());
    for (int c = 0; focal && c < classes; ++c)
      dz[static_cast<std::size_t>(c)] += by_focal(c, z[c], sigmoid(z[c]), c == t ? 1.0f : 0.0f);
    for (int c = 0; c < classes; ++c) write(i * classes + c, dz[static_cast<std::size_t>(c)]);
  }

  void pixels(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const int t = class_of(label.as<std::uint8_t>()[i], classes, terms.label);
      if (t >= 0)
        pixel(i, t);
      else
        for (int c = 0; c < classes; ++c) write(i * classes + c, 0);
    }
  }
};

void backward(In logits, In label, In slopes, In slope, In scale, Out dlogits,
              const LossTerms& terms, Stream&) {
  require_f32(logits, "loss_backward");
  const GradientPass pass{logits,
                          label,
                          slope,
                          slopes.as<double>(),
                          dlogits.as<float>(),
                          scale ? static_cast<double>(*scale.as<float>()) : 1,
                          dlogits.write == Write::add,
                          terms,
                          static_cast<int>(logits.shape().c),
                          slopes ? focal_of(terms) : std::nullopt,
                          weight_sums(terms, static_cast<int>(logits.shape().c))};
  for_each_chunk(logits.shape().pixels(), [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    if (terms.label.form == LabelForm::elements)
      pass.elements(begin, end);
    else
      pass.pixels(begin, end);
  });
}

}  // namespace

void fill_loss_gradient_kernels() { loss_backward.cpu = backward; }

}  // namespace fjord
