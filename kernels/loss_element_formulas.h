// Losses of one logit against its label, and what all formulas of a pixel share. In double: they
// iterate and raise to powers, and none of them is a default. A pixel has `classes`, logits z(c),
// labels y(c) and weights weight(c), own_weight() that of its label; that of a label of its own
// (binary, multi-label) has one class.
#pragma once

#include "kernels/loss_math.h"

namespace fjord {

/// What a pixel adds to the two sums, or their derivatives by a logit.
struct FormulaPart {
  double value = 0, factor = 0;
};

FJORD_HD double log1p_exp(double z) {
  return std::log1p(std::exp(-std::fabs(z))) + (z > 0 ? z : 0);
}
/// x^exponent of x >= 0. Not std::pow, whose call would take registers away from a GPU's kernel.
FJORD_HD double power(double x, double exponent) {
  if (exponent == 0) return 1;
  return x == 0 ? 0 : std::exp(exponent * std::log(x));
}
/// So near to 0 that a negative power may be infinite, x counts as 0.
FJORD_HD double focal_power(double x, double exponent) {
  if (exponent == 1) return x;
  if (exponent == 2) return x * x;
  return x < 1e-30 && exponent != 0 ? 0 : power(x, exponent);
}

template <class Pixel>
FJORD_HD double largest_logit(const Pixel& pixel) {
  double largest = pixel.z(0);
  for (int c = 1; c < pixel.classes; ++c)
    if (!(pixel.z(c) <= largest)) largest = pixel.z(c);
  return largest;
}
template <class Pixel>
FJORD_HD double log_sum_exp(const Pixel& pixel) {
  const double largest = largest_logit(pixel);
  double sum = 0;
  for (int c = 0; c < pixel.classes; ++c) sum += std::exp(pixel.z(c) - largest);
  return largest + std::log(sum);
}

/// The class of a pixel's label.
template <class Pixel>
FJORD_HD int label_of(const Pixel& pixel) {
  int label = 0;
  for (int c = 1; c < pixel.classes; ++c)
    if (pixel.y(c) > pixel.y(label)) label = c;
  return label;
}

/// pytorch-toolbelt: the cross-entropies of labels 1 and 0 each by itself; FormulaMean weighs them.
struct BalancedBce {
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    return {pixel.y(0) * log1p_exp(-pixel.z(0)), (1 - pixel.y(0)) * log1p_exp(pixel.z(0))};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double p = sigmoid(pixel.z(0)), t = pixel.y(0);
    sink(0, {t * (p - 1), (1 - t) * p});
  }
};

/// Li et al. 2020, eq. 4: |t - p|^gamma times the cross-entropy.
struct QualityFocal {
  double gamma;

  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const double z = pixel.z(0), t = pixel.y(0);
    const double f = focal_power(std::fabs(sigmoid(z) - t), gamma);
    return {f * Bce<double>{0, 1}.value(z, t), f};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double z = pixel.z(0), t = pixel.y(0), p = sigmoid(z), d = p - t;
    const double df = gamma * focal_power(std::fabs(d), gamma - 1) * sign(d) * p * (1 - p);
    sink(0, {df * Bce<double>{0, 1}.value(z, t) + focal_power(std::fabs(d), gamma) * d, df});
  }
};

/// Feng et al. 2018, eq. 5, of the logit itself less the label.
struct Wing {
  double width, curvature;

  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const double d = std::fabs(pixel.z(0) - pixel.y(0));
    if (d < width) return {width * std::log1p(d / curvature), 0};
    return {d - width + width * std::log1p(width / curvature), 0};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double x = pixel.z(0) - pixel.y(0), d = std::fabs(x);
    sink(0, {sign(x) * (d < width ? width / (curvature + d) : 1), 0});
  }
};

/// log cosh of the logit less the label.
struct LogCosh {
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const double d = std::fabs(pixel.z(0) - pixel.y(0));
    return {d + std::log1p(std::exp(-2 * d)) - std::log(2.0), 0};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    sink(0, {std::tanh(pixel.z(0) - pixel.y(0)), 0});
  }
};

/// f = (x / threshold)^gamma of x = 1 - p_t, but 1 where p_t is below the threshold, and its
/// derivative.
struct FocalFactor {
  double gamma, threshold;

  FJORD_HD double scale() const { return threshold > 0 ? 1 / threshold : 1; }
  FJORD_HD bool full(double small) const { return small < threshold; }
  FJORD_HD double at(double x) const { return focal_power(x * scale(), gamma); }
  FJORD_HD double slope(double x) const {
    return gamma * focal_power(x * scale(), gamma - 1) * scale();
  }
};

}  // namespace fjord
