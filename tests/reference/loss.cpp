// Region and pixel losses in double, from SMP's definitions, one naive loop per sum.
#include "tests/reference/loss.h"

#include <vector>

namespace fjord::reference {
namespace {

struct Overlap {
  double p = 0, t = 0, d = 0;
};

Overlap overlap(const Problem& problem, std::int64_t c) {
  Overlap sums;
  for (std::int64_t i = 0; i < problem.shape.pixels(); ++i) {
    if (problem.ignored(i, c)) continue;
    const double p = problem.probability(i, c), t = problem.target(i, c);
    sums.p += p;
    sums.t += t;
    sums.d += std::fabs(p - t);
  }
  return sums;
}

// SMP's score from true positives, false positives and false negatives.
double region_loss(const RegionLoss& loss, double tp, double fp, double fn) {
  const double score =
      (tp + loss.smooth) / std::max(tp + loss.alpha * fp + loss.beta * fn + loss.smooth, loss.eps);
  return loss.log_loss ? -std::log(std::max(score, loss.eps)) : 1 - score;
}

// Its derivatives by tp, fp and fn, by the quotient rule.
struct Derivatives {
  double tp = 0, fp = 0, fn = 0;
};
Derivatives region_derivatives(const RegionLoss& loss, double tp, double fp, double fn) {
  const double num = tp + loss.smooth;
  const double den = tp + loss.alpha * fp + loss.beta * fn + loss.smooth;
  const bool free = den >= loss.eps;
  const double floor = free ? den : loss.eps, square = floor * floor;
  Derivatives score{(floor - (free ? num : 0)) / square, free ? -num * loss.alpha / square : 0,
                    free ? -num * loss.beta / square : 0};
  double outer = -1;
  if (loss.log_loss) outer = num / floor < loss.eps ? 0 : -1 / (num / floor);
  return {outer * score.tp, outer * score.fp, outer * score.fn};
}

// The correlation N / sqrt(R) of TP, FP, FN and TN, and its derivatives, by the quotient rule.
struct Correlation {
  double value, by_tp, by_fp, by_fn, by_tn;
};
Correlation correlation(double tp, double fp, double fn, double tn) {
  const double a = tp + fp, b = tp + fn, c = tn + fp, d = tn + fn;
  const double n = tp * tn - fp * fn, r = a * b * c * d;
  auto by = [=](double dn, double dr) { return (dn * r - n * dr / 2) / (r * std::sqrt(r)); };
  return {n / std::sqrt(r), by(tn, b * c * d + a * c * d), by(-fn, b * c * d + a * b * d),
          by(-fp, a * c * d + a * b * c), by(tp, a * b * d + a * b * c)};
}

// A pixel's p counts for TP and against FN where the label is 1, for FP and against TN where it is
// 0. With s = sign(p - t) the slopes by the sums of p and of |p - t| make p's: first + s * second.
double add_matthews(const Problem& problem, const RegionLoss& loss, double* slopes) {
  double mean = 0;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    double tp = 0, fp = 0, fn = 0, tn = 0, pixels = 0;
    for (std::int64_t i = 0; i < problem.shape.pixels(); ++i) {
      if (problem.ignored(i, c)) continue;
      const double p = problem.probability(i, c), t = problem.target(i, c);
      tp += p * t, fp += p * (1 - t), fn += (1 - p) * t, tn += (1 - p) * (1 - t), pixels += 1;
    }
    if (pixels == 0) continue;
    const double share = loss.share[static_cast<std::size_t>(c)], e = loss.eps;
    const Correlation k = correlation(tp + e, fp + e, fn + e, tn + e);
    mean += share * (1 - k.value);
    const double of_ones = k.by_fn - k.by_tp, of_zeros = k.by_tn - k.by_fp;
    slopes[2 * c] += loss.weight * share * (of_ones + of_zeros) / 2;
    slopes[2 * c + 1] += loss.weight * share * (of_zeros - of_ones) / 2;
  }
  return loss.weight * mean;
}

// The share of each class is of 1 - F1, where F1 = 2 TP / (2 TP + FN + FP).
double add_soft_f1(const Problem& problem, const RegionLoss& loss, double* slopes) {
  double mean = 0;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    double tp = 0, fp = 0, fn = 0, pixels = 0;
    for (std::int64_t i = 0; i < problem.shape.pixels(); ++i) {
      if (problem.ignored(i, c)) continue;
      const double p = problem.probability(i, c), t = problem.target(i, c);
      tp += p * t, fp += p * (1 - t), fn += (1 - p) * t, pixels += 1;
    }
    if (pixels == 0) continue;
    const double share = loss.share[static_cast<std::size_t>(c)];
    const double n = 2 * tp, m = n + fn + fp + loss.eps;
    mean += share * (1 - n / m);
    // By p of a pixel: 2 TP and FN change where the label is 1, FP where it is 0.
    const double of_ones = -(2 * m - n) / (m * m), of_zeros = n / (m * m);
    slopes[2 * c] += loss.weight * share * (of_ones + of_zeros) / 2;
    slopes[2 * c + 1] += loss.weight * share * (of_zeros - of_ones) / 2;
  }
  return loss.weight * mean;
}

double add_region(const Problem& problem, const RegionLoss& loss, double* slopes) {
  if (loss.score == RegionScore::Kind::matthews) return add_matthews(problem, loss, slopes);
  if (loss.score == RegionScore::Kind::soft_f1) return add_soft_f1(problem, loss, slopes);
  double mean = 0;
  std::vector<Overlap> sums;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    sums.push_back(overlap(problem, c));
    const Overlap& s = sums.back();
    const double tp = (s.p + s.t - s.d) / 2;
    if (s.t > 0)
      mean += loss.share[static_cast<std::size_t>(c)] * region_loss(loss, tp, s.p - tp, s.t - tp);
  }
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    const Overlap& s = sums[static_cast<std::size_t>(c)];
    if (s.t == 0) continue;
    const double tp = (s.p + s.t - s.d) / 2;
    const Derivatives by = region_derivatives(loss, tp, s.p - tp, s.t - tp);
    const double by_mean =
        loss.log_cosh ? std::tanh(mean) : loss.gamma * std::pow(mean, loss.gamma - 1);
    const double outer = loss.weight * loss.share[static_cast<std::size_t>(c)] * by_mean;
    slopes[2 * c] += outer * (by.tp / 2 + by.fp / 2 - by.fn / 2);
    slopes[2 * c + 1] += outer * (-by.tp / 2 + by.fp / 2 + by.fn / 2);
  }
  return loss.weight * (loss.log_cosh ? std::log(std::cosh(mean)) : std::pow(mean, loss.gamma));
}

double class_weight(const PixelLoss& loss, std::int64_t c) {
  return loss.class_weights.empty() ? 1 : loss.class_weights[static_cast<std::size_t>(c)];
}

double smoothed(const PixelLoss& loss, double t) {
  return (1 - t) * loss.smooth + t * (1 - loss.smooth);
}

double positive_weight(const PixelLoss& loss, std::int64_t c) {
  return loss.positive.empty() ? 1 : loss.positive[static_cast<std::size_t>(c)];
}

// -w [pw t log p + (1 - t) log(1 - p)].
double bce(const Problem& problem, const PixelLoss& loss, std::int64_t i, std::int64_t c) {
  const double z = problem.logit(i, c), t = smoothed(loss, problem.target(i, c));
  auto minus_log_sigmoid = [](double x) {
    return std::max(-x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
  };
  double sum = 0;
  if (t != 0) sum += positive_weight(loss, c) * t * minus_log_sigmoid(z);
  if (t != 1) sum += (1 - t) * minus_log_sigmoid(-z);
  return class_weight(loss, c) * sum;
}

double softce(const Problem& problem, const PixelLoss& loss, std::int64_t i) {
  double sum = 0;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    const double t = (1 - loss.smooth) * problem.target(i, c) +
                     loss.smooth / static_cast<double>(problem.shape.c);
    if (t > 0) sum -= class_weight(loss, c) * t * problem.log_softmax(i, c);
  }
  return sum;
}

// Lin et al. 2017, eq. 4 and 5, with SMP's reduced threshold, of one logit: the loss and the
// factor.
struct FocalPart {
  double loss, factor, by_loss, by_factor;  // by_: by the logit
};
FocalPart focal_part(const Problem& problem, const FocalLoss& loss, std::int64_t i,
                     std::int64_t c) {
  const double z = problem.logit(i, c), t = problem.target(i, c), p = 1 / (1 + std::exp(-z));
  auto minus_log_sigmoid = [](double x) {
    return std::max(-x, 0.0) + std::log1p(std::exp(-std::fabs(x)));
  };
  const double entropy = t * minus_log_sigmoid(z) + (1 - t) * minus_log_sigmoid(-z);
  const double p_t = std::exp(-entropy), r = loss.reduced_threshold.value_or(1);
  const double balance = loss.alpha ? t * *loss.alpha + (1 - t) * (1 - *loss.alpha) : 1;
  double factor = std::pow(-std::expm1(-entropy) / r, loss.gamma), by_factor = 0;
  if (entropy > 0)  // d(1 - p_t) / dz = p_t (p - t)
    by_factor = loss.gamma * factor / -std::expm1(-entropy) * p_t * (p - t);
  if (loss.reduced_threshold && p_t < r) factor = 1, by_factor = 0;
  return {balance * factor * entropy, factor, balance * (by_factor * entropy + factor * (p - t)),
          by_factor};
}

// Per class the slopes by the sum of losses and by the sum of factors.
double add_focal(const Problem& problem, const FocalLoss& loss, double* slopes) {
  double value = 0;
  for (std::int64_t c = 0; c < problem.shape.c; ++c) {
    double sum = 0, factors = 0, pixels = 0;
    for (std::int64_t i = 0; i < problem.shape.pixels(); ++i) {
      if (problem.ignored(i, c)) continue;
      const FocalPart part = focal_part(problem, loss, i, c);
      sum += part.loss, factors += part.factor, pixels += 1;
    }
    if (pixels == 0) continue;
    double scale = loss.weight * loss.share[static_cast<std::size_t>(c)];
    if (!loss.sum) scale /= pixels;
    if (loss.normalized) scale /= std::max(factors, 1e-6);
    value += scale * sum;
    slopes[2 * c] = scale;
    slopes[2 * c + 1] = loss.normalized && factors > 1e-6 ? -scale * sum / factors : 0;
  }
  return value;
}

// Value and factor of a pixel loss: the factor is what every pixel's value is multiplied by.
double add_pixel(const Problem& problem, const PixelLoss& loss, double& factor) {
  const bool ce = loss.kind == PixelLoss::Kind::softce;
  double sum = 0, label_weights = 0;
  for (std::int64_t i = 0; i < problem.shape.pixels(); ++i)
    for (std::int64_t c = 0; c < (ce ? 1 : problem.shape.c); ++c) {
      if (problem.ignored(i, c)) continue;
      sum += ce ? softce(problem, loss, i) : bce(problem, loss, i, c);
      if (ce) label_weights += class_weight(loss, static_cast<std::int64_t>(problem.raw(i, 0)));
    }
  double count = static_cast<double>(ce ? problem.shape.pixels() : problem.shape.count());
  if (ce && !loss.class_weights.empty()) count = label_weights;
  factor = loss.sum ? loss.weight : count == 0 ? 0 : loss.weight / count;
  return factor * sum;
}

std::int64_t focal_slopes(const Problem& problem, const LossTerms& terms) {
  return 2 * problem.shape.c + static_cast<std::int64_t>(terms.pixels.size());
}

void forward(In logits, In label, Out slopes, Out loss, const LossTerms& terms, Stream&) {
  const Problem problem(logits, label, terms.label);
  double* out = slopes.as<double>();
  std::fill_n(out, slopes.shape().count(), 0.0);
  double value = 0;
  for (const RegionLoss& region : terms.regions) value += add_region(problem, region, out);
  for (std::size_t k = 0; k < terms.pixels.size(); ++k)
    value += add_pixel(problem, terms.pixels[k], out[2 * problem.shape.c + static_cast<int>(k)]);
  if (terms.focal) value += add_focal(problem, *terms.focal, out + focal_slopes(problem, terms));
  put(loss, 0, value);
}

// By one logit, of the pixel losses.
double pixel_gradient(const Problem& problem, const PixelLoss& loss, std::int64_t i,
                      std::int64_t c) {
  const double p = problem.probability(i, c), t = problem.target(i, c);
  if (loss.kind == PixelLoss::Kind::bce)
    return class_weight(loss, c) *
           (p * (1 - smoothed(loss, t)) - positive_weight(loss, c) * smoothed(loss, t) * (1 - p));
  double gradient = 0;  // -sum_k w_k t_k (delta_kc - p_c)
  for (std::int64_t k = 0; k < problem.shape.c; ++k) {
    const double soft = (1 - loss.smooth) * problem.target(i, k) +
                        loss.smooth / static_cast<double>(problem.shape.c);
    gradient -= class_weight(loss, k) * soft * ((k == c ? 1 : 0) - p);
  }
  return gradient;
}

// By one probability, of the region losses and Lovasz's softmax form.
double by_probability(const Problem& problem, In slopes, In lovasz, std::int64_t i,
                      std::int64_t c) {
  double sum = 0;
  if (slopes) {
    const double difference = problem.probability(i, c) - problem.target(i, c);
    sum += slopes.as<double>()[2 * c] + slopes.as<double>()[2 * c + 1] * signum(difference);
  }
  if (lovasz && problem.by_class()) sum += lovasz.as<double>()[i * problem.shape.c + c];
  return sum;
}

double gradient(const Problem& problem, In slopes, In lovasz, const LossTerms& terms,
                std::int64_t i, std::int64_t c) {
  if (problem.ignored(i, c)) return 0;
  const double p = problem.probability(i, c);
  double dz = 0;
  if (problem.by_class())
    for (std::int64_t k = 0; k < problem.shape.c; ++k)  // dp_k / dz_c = p_k (delta_kc - p_c)
      dz += by_probability(problem, slopes, lovasz, i, k) * problem.probability(i, k) *
            ((k == c ? 1 : 0) - p);
  else
    dz = by_probability(problem, slopes, lovasz, i, c) * p * (1 - p);
  if (lovasz && !problem.by_class()) dz += lovasz.as<double>()[i * problem.shape.c + c];
  for (std::size_t k = 0; k < terms.pixels.size(); ++k)
    dz += slopes.as<double>()[2 * problem.shape.c + static_cast<int>(k)] *
          pixel_gradient(problem, terms.pixels[k], i, c);
  if (terms.focal && slopes) {
    const double* by = slopes.as<double>() + focal_slopes(problem, terms) + 2 * c;
    const FocalPart part = focal_part(problem, *terms.focal, i, c);
    dz += by[0] * part.by_loss + by[1] * part.by_factor;
  }
  return dz;
}

void backward(In logits, In label, In slopes, In lovasz, In scale, Out dlogits,
              const LossTerms& terms, Stream&) {
  const Problem problem(logits, label, terms.label);
  double factor = 1;
  if (scale) factor = scale.dtype() == DType::f64 ? *scale.as<double>() : *scale.as<float>();
  for (std::int64_t i = 0; i < problem.shape.pixels(); ++i)
    for (std::int64_t c = 0; c < problem.shape.c; ++c)
      put(dlogits, i * problem.shape.c + c,
          factor * gradient(problem, slopes, lovasz, terms, i, c));
}

}  // namespace

void fill_loss() {
  loss_forward.reference = forward;
  loss_backward.reference = backward;
}

}  // namespace fjord::reference
