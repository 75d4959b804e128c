// The formulas of the losses, value and gradient side by side, for every backend.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace fjord {

/// Stable for every finite z.
template <class T>
FJORD_HD T sigmoid(T z) {
  const T e = std::exp(z < 0 ? z : -z);
  return (z < 0 ? e : T(1)) / (T(1) + e);
}

/// Sums over the batch's pixels for one class: probabilities, labels, |probability - label|, and
/// how many there are.
struct RegionSums {
  double p = 0, t = 0, d = 0, n = 0;
};

/// A region loss of one class and its derivatives by the sums of p and d.
struct RegionValue {
  double value = 0, dp = 0, dd = 0;
};

/// Salehi et al. 2017 as SMP computes it: I = (P + T - D) / 2 is the sum of min(p, t), also for
/// soft labels; eps is a floor of the denominator, not a summand.
struct Tversky {
  double alpha, beta, smooth, eps;
  bool log_loss;

  FJORD_HD RegionValue operator()(RegionSums s) const {
    const double intersection = 0.5 * (s.p + s.t - s.d);
    const double full =
        intersection + alpha * (s.p - intersection) + beta * (s.t - intersection) + smooth;
    const bool floored = full < eps;
    const double denominator = floored ? eps : full;
    const double score = (intersection + smooth) / denominator;
    const double by_denominator = floored ? 0.0 : -score / denominator;
    const double by_intersection = 1 / denominator + by_denominator * (1 - alpha - beta);
    const double dp = 0.5 * by_intersection + alpha * by_denominator;
    const double dd = -0.5 * by_intersection;
    if (!log_loss) return {1 - score, -dp, -dd};
    if (score < eps) return {-std::log(eps), 0, 0};
    return {-std::log(score), -dp / score, -dd / score};
  }
};

/// Matthews' correlation coefficient with SMP's eps.
struct Matthews {
  double eps;

  // Rounding may leave a count below 0, of which there is no root; NaN stays.
  FJORD_HD double count(double sum) const { return (sum < 0 ? 0 : sum) + eps; }

  FJORD_HD RegionValue operator()(RegionSums s) const {
    const double intersection = 0.5 * (s.p + s.t - s.d);
    const double tp = count(intersection), fp = count(s.p - intersection);
    const double fn = count(s.t - intersection), tn = count(s.n - s.p - s.t + intersection);
    const double root = std::sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn));
    const double score = (tp * tn - fp * fn) / root, half = 0.5 * score;
    const double by_tp = tn / root - half * (1 / (tp + fp) + 1 / (tp + fn));
    const double by_tn = tp / root - half * (1 / (tn + fp) + 1 / (tn + fn));
    const double by_fp = -fn / root - half * (1 / (tp + fp) + 1 / (tn + fp));
    const double by_fn = -fp / root - half * (1 / (tp + fn) + 1 / (tn + fn));
    const double by_intersection = by_tp + by_tn - by_fp - by_fn;
    return {1 - score, by_tn - by_fp - 0.5 * by_intersection, 0.5 * by_intersection};
  }
};

/// 2 TP / (2 TP + FN + FP + eps) of hard labels.
struct SoftF1 {
  double eps;

  FJORD_HD RegionValue operator()(RegionSums s) const {
    const double twice = s.p + s.t - s.d, full = s.p + s.t + eps;
    return {1 - twice / full, (twice / full - 1) / full, 1 / full};
  }
};

/// The score of a region loss.
struct RegionScore {
  enum class Kind : std::uint8_t { tversky, matthews, soft_f1 };

  Tversky tversky;
  Kind kind;

  /// Whether a class takes part.
  FJORD_HD bool counts(RegionSums s) const { return kind == Kind::tversky ? s.t > 0 : s.n > 0; }
  FJORD_HD RegionValue operator()(RegionSums s) const {
    if (kind == Kind::matthews) return Matthews{tversky.eps}(s);
    return kind == Kind::soft_f1 ? SoftF1{tversky.eps}(s) : tversky(s);
  }
};

/// weight * base ^ gamma of a region loss's mean over the classes, or weight * log cosh of it, and
/// its derivative by the mean.
struct RegionPower {
  double weight, gamma;
  bool log_cosh;

  // Rounding may leave a perfect score at -1e-17, and a power's slope at 0 is not finite.
  FJORD_HD double base(double mean) const {
    return gamma == 1 || mean > 0 || mean != mean ? mean : 0;
  }
  FJORD_HD double value(double mean) const {
    if (log_cosh) return weight * std::log(std::cosh(mean));
    return weight * (gamma == 1 ? mean : std::pow(base(mean), gamma));
  }
  FJORD_HD double slope(double mean) const {
    if (log_cosh) return weight * std::tanh(mean);
    if (gamma == 1) return weight;
    return base(mean) == 0 ? 0 : weight * (gamma * std::pow(base(mean), gamma - 1));
  }
};

/// A pixel loss's weight over what its mean divides by, which may be 0.
FJORD_HD double pixel_factor(double weight, double divisor) {
  return divisor > 0 ? weight / divisor : 0;
}

/// d|p - t| / dp, 0 where they are equal.
template <class T>
FJORD_HD T sign(T x) {
  return static_cast<T>((x > 0) - (x < 0));
}

/// Binary cross-entropy on a logit with label smoothing and a weight for label 1.
template <class T>
struct Bce {
  T smooth, positive;

  FJORD_HD T target(T t) const { return (1 - t) * smooth + t * (1 - smooth); }
  FJORD_HD T value(T z, T t) const {
    t = target(t);
    const T softplus = std::log1p(std::exp(-std::fabs(z))) + (z < 0 ? -z : T(0));
    return (1 - t) * z + (1 + (positive - 1) * t) * softplus;
  }
  FJORD_HD T gradient(T p, T t) const {  // p = sigmoid(z)
    t = target(t);
    return (1 + (positive - 1) * t) * p - positive * t;
  }
};

/// One logit's part of a focal loss, and its factor f alone; or the derivatives of both.
template <class T>
struct FocalTerm {
  T value = 0, factor = 0;
};

/// The focal loss of one logit: balance * f * l, where l is the cross-entropy, p_t = exp(-l) and
/// f = ((1 - p_t) / threshold) ^ gamma, but 1 where p_t < threshold.
template <class T>
struct Focal {
  T gamma, positive, negative;  // the balance of labels 1 and 0
  T threshold;                  // 0: none

  FJORD_HD T balance(T t) const { return t * positive + (1 - t) * negative; }
  FJORD_HD T scale() const { return threshold > 0 ? 1 / threshold : T(1); }
  // So near to 0 that a negative power of it may be infinite, x counts as 0.
  FJORD_HD static T power(T x, T exponent) {
    if (exponent == 0) return 1;
    if (exponent == 1) return x;
    if (exponent == 2) return x * x;
    return x > T(1e-30) ? std::pow(x, exponent) : T(0);
  }

  FJORD_HD FocalTerm<T> value(T z, T t) const {
    const T l = Bce<T>{0, 1}.value(z, t), missing = -std::expm1(-l);
    const T f = 1 - missing < threshold ? T(1) : power(missing * scale(), gamma);
    return {balance(t) * f * l, f};
  }
  /// By z; p = sigmoid(z).
  FJORD_HD FocalTerm<T> gradient(T z, T p, T t) const {
    const T l = Bce<T>{0, 1}.value(z, t), missing = -std::expm1(-l), by_z = p - t;
    if (1 - missing < threshold) return {balance(t) * by_z, 0};
    const T x = missing * scale();
    const T df = gamma * power(x, gamma - 1) * scale() * (1 - missing) * by_z;
    return {balance(t) * (power(x, gamma) * by_z + df * l), df};
  }
};

/// A class's part of a focal loss, from the sums over its pixels, and its derivatives by them.
struct FocalMean {
  double weight;
  bool normalized, sum;

  struct Value {
    double value = 0, by_value = 0, by_factor = 0;
  };
  FJORD_HD Value operator()(double share, double pixels, FocalTerm<double> sums) const {
    constexpr double eps = 1e-6;  // SMP's
    if (!(pixels > 0)) return {};
    const double scale = weight * share / (sum ? 1.0 : pixels);
    if (!normalized) return {scale * sums.value, scale, 0};
    const double factor = sums.factor < eps ? eps : sums.factor;
    const double by_factor = sums.factor < eps ? 0 : -scale * sums.value / (factor * factor);
    return {scale * sums.value / factor, scale / factor, by_factor};
  }
};

/// Cross-entropy against (1 - smooth) * one-hot + uniform, which is smooth / C, each class times
/// its weight.
template <class T>
struct SoftCe {
  T smooth, uniform;

  /// `log_p`: of the label's class; `sum_log_p`: over classes, each times its weight.
  FJORD_HD T value(T label_weight, T log_p, T sum_log_p) const {
    return -(1 - smooth) * label_weight * log_p - (uniform > 0 ? uniform * sum_log_p : T(0));
  }
  /// By logit c, with probability p and weight w of class c.
  FJORD_HD T gradient(T label_weight, bool is_label, T p, T w, T sum_w) const {
    return (1 - smooth) * label_weight * (p - (is_label ? 1 : 0)) + uniform * (sum_w * p - w);
  }
};

/// The Jaccard loss of the k worst errors minus that of the k - 1 worst, in a form that loses no
/// digits: `intersection` and `union_` before this one (label t) is added (Berman et al. 2018, alg.
/// 1).
template <class T>
FJORD_HD T lovasz_step(T intersection, T union_, T t) {
  const T larger = union_ + 1 - t;
  if (union_ <= 0) return 1 - (intersection - t) / larger;
  return (intersection * (1 - t) + t * union_) / (union_ * larger);
}

}  // namespace fjord
