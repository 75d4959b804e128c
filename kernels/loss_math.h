// The formulas of the losses, value and gradient side by side, for every backend.
#pragma once

#include <cmath>

#include "kernels/host_device.h"

namespace fjord {

/// Stable for every finite z.
template <class T>
FJORD_HD T sigmoid(T z) {
  const T e = std::exp(z < 0 ? z : -z);
  return (z < 0 ? e : T(1)) / (T(1) + e);
}

/// Sums over the batch's pixels for one class: probabilities, labels, |probability - label|.
struct RegionSums {
  double p = 0, t = 0, d = 0;
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

/// Cross-entropy against (1 - smooth) * one-hot + smooth / C, each class times its weight.
struct SoftCe {
  double smooth;
  int classes;

  /// `log_p`: of the label's class; `sum_log_p`: over classes, each times its weight.
  FJORD_HD double value(double label_weight, double log_p, double sum_log_p) const {
    const double uniform = smooth / classes;
    return -(1 - smooth) * label_weight * log_p - (uniform > 0 ? uniform * sum_log_p : 0.0);
  }
  /// By logit c, with probability p and weight w of class c.
  FJORD_HD double gradient(double label_weight, bool is_label, double p, double w,
                           double sum_w) const {
    return (1 - smooth) * label_weight * (p - (is_label ? 1 : 0)) +
           smooth / classes * (sum_w * p - w);
  }
};

/// The Jaccard loss of the k worst errors minus that of the k - 1 worst, in a form that loses no
/// digits: `intersection` and `union_` before this one (label t) is added (Berman et al. 2018, alg.
/// 1).
FJORD_HD double lovasz_step(double intersection, double union_, double t) {
  const double larger = union_ + 1 - t;
  if (union_ <= 0) return 1 - (intersection - t) / larger;
  return (intersection * (1 - t) + t * union_) / (union_ * larger);
}

}  // namespace fjord
