// Losses of a pixel's logits against its class, in double.
#pragma once

#include "kernels/loss_element_formulas.h"

namespace fjord {

/// Lin et al. 2017 on the softmax's cross-entropy, as SMP's softmax_focal_loss_with_logits.
struct SoftmaxFocal {
  FocalFactor focal;

  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const double l = log_sum_exp(pixel) - pixel.z(label_of(pixel)), p_t = std::exp(-l);
    const double f = focal.full(p_t) ? 1 : focal.at(-std::expm1(-l));
    return {f * l, f};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double log_sum = log_sum_exp(pixel), l = log_sum - pixel.z(label_of(pixel));
    const double p_t = std::exp(-l), x = -std::expm1(-l);
    const bool full = focal.full(p_t);
    const double f = full ? 1 : focal.at(x), df = full ? 0 : focal.slope(x) * p_t;
    for (int c = 0; c < pixel.classes; ++c) {
      const double by_z = std::exp(pixel.z(c) - log_sum) - pixel.y(c);
      sink(c, {(f + df * l) * by_z, df * by_z});
    }
  }
};

/// pytorch-toolbelt's CrossEntropyFocalLoss: binary cross-entropies of the logits, each times a
/// focal factor of the softmax's error there and the weight of the logit's class.
struct CrossEntropyFocal {
  FocalFactor focal;

  struct Term {
    double q, y, weight, f, df, entropy;  // df: by q
  };
  template <class Pixel>
  FJORD_HD Term term(const Pixel& pixel, double log_sum, int c) const {
    const double z = pixel.z(c), y = pixel.y(c), q = std::exp(z - log_sum);
    const double d = (1 - y) * q + y * (1 - q), entropy = Bce<double>{0, 1}.value(z, y);
    const double weight = pixel.weight(c);
    if (focal.full(d)) return {q, y, weight, 1, 0, entropy};
    return {q, y, weight, focal.at(d), focal.slope(d) * (1 - 2 * y), entropy};
  }
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const double log_sum = log_sum_exp(pixel);
    FormulaPart sum;
    for (int c = 0; c < pixel.classes; ++c) {
      const Term one = term(pixel, log_sum, c);
      sum.value += one.weight * one.f * one.entropy;
      sum.factor += one.f;
    }
    return sum;
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double log_sum = log_sum_exp(pixel);
    FormulaPart mean;  // of the derivatives by q, under q
    for (int c = 0; c < pixel.classes; ++c) {
      const Term one = term(pixel, log_sum, c);
      mean.value += one.weight * one.q * one.df * one.entropy;
      mean.factor += one.q * one.df;
    }
    for (int c = 0; c < pixel.classes; ++c) {
      const Term one = term(pixel, log_sum, c);
      const double along = one.f * (sigmoid(pixel.z(c)) - one.y);
      sink(c, {one.q * (one.weight * one.df * one.entropy - mean.value) + one.weight * along,
               one.q * (one.df - mean.factor)});
    }
  }
};

/// Lee et al. 2020 ("Cosine meets softmax") as pytorch-toolbelt has it: 1 - cos(z, one-hot) + xent
/// * alpha (1 - p_t)^gamma ce, where ce and p_t = exp(-ce) are of z scaled to length 1.
struct FocalCosine {
  double alpha, xent;
  FocalFactor focal;

  // The logits scaled to length 1.
  template <class Pixel>
  struct Unit {
    const Pixel& pixel;
    int classes;
    double length;

    FJORD_HD double z(int c) const { return pixel.z(c) / length; }
    FJORD_HD double y(int c) const { return pixel.y(c); }
  };
  template <class Pixel>
  FJORD_HD Unit<Pixel> unit(const Pixel& pixel) const {
    double square = 0;
    for (int c = 0; c < pixel.classes; ++c) square += pixel.z(c) * pixel.z(c);
    const double length = std::sqrt(square);
    return {pixel, pixel.classes, length < 1e-12 ? 1e-12 : length};
  }
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const Unit<Pixel> u = unit(pixel);
    const double own = u.z(label_of(u)), ce = log_sum_exp(u) - own;
    return {1 - own + xent * alpha * focal.at(-std::expm1(-ce)) * ce, 0};
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const Unit<Pixel> u = unit(pixel);
    const double log_sum = log_sum_exp(u), ce = log_sum - u.z(label_of(u)), x = -std::expm1(-ce);
    const double by_ce = xent * alpha * (focal.at(x) + ce * focal.slope(x) * std::exp(-ce));
    double along = 0;
    for (int c = 0; c < u.classes; ++c) along += u.z(c) * by_unit(u, log_sum, by_ce, c);
    for (int c = 0; c < u.classes; ++c)
      sink(c, {(by_unit(u, log_sum, by_ce, c) - u.z(c) * along) / u.length, 0});
  }

 private:
  template <class Unit>
  FJORD_HD static double by_unit(const Unit& u, double log_sum, double by_ce, int c) {
    return by_ce * (std::exp(u.z(c) - log_sum) - u.y(c)) - u.y(c);
  }
};

/// Amid et al. 2019 with t1 <= 1 <= t2; the normaliser by the paper's fixed point, `iterations`
/// long, its gradient as if that had converged. One class is two: z against -z.
struct BiTempered {
  double t1, t2, smooth;
  int iterations;

  FJORD_HD static double log_t(double x, double t) {
    return t == 1 ? std::log(x) : (power(x, 1 - t) - 1) / (1 - t);
  }
  FJORD_HD double exp_t(double x) const {
    return t2 == 1 ? std::exp(x) : power(1 + (1 - t2) * x, 1 / (1 - t2));
  }

  template <class Pixel>
  struct Opposed {
    const Pixel& pixel;
    int classes;

    FJORD_HD double z(int c) const {
      if (pixel.classes > 1) return pixel.z(c);
      return c == 0 ? -pixel.z(0) : pixel.z(0);
    }
    FJORD_HD double y(int c) const {
      if (pixel.classes > 1) return pixel.y(c);
      return c == 0 ? 1 - pixel.y(0) : pixel.y(0);
    }
  };
  template <class Pixel>
  FJORD_HD static Opposed<Pixel> opposed(const Pixel& pixel) {
    return {pixel, pixel.classes > 1 ? pixel.classes : 2};
  }
  template <class Two>
  FJORD_HD double label(const Two& two, int c) const {
    const double all = two.classes;
    return two.y(c) * (1 - smooth * all / (all - 1)) + smooth / (all - 1);
  }
  // p = exp_t(z - normaliser).
  template <class Two>
  FJORD_HD double normaliser(const Two& two) const {
    if (t2 == 1) return log_sum_exp(two);
    const double largest = largest_logit(two);
    double shrink = 1, sum = 0;
    for (int i = 0; i <= iterations; ++i) {
      sum = 0;
      for (int c = 0; c < two.classes; ++c) sum += exp_t((two.z(c) - largest) * shrink);
      shrink = power(sum, 1 - t2);
    }
    return largest - log_t(1 / sum, t2);
  }
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    const Opposed<Pixel> two = opposed(pixel);
    const double shift = normaliser(two);
    FormulaPart sum;
    for (int c = 0; c < two.classes; ++c) {
      const double p = exp_t(two.z(c) - shift), y = label(two, c);
      sum.value += power(p, 2 - t1) / (2 - t1);
      if (y > 0)
        sum.value += y * (log_t(y + 1e-10, t1) - log_t(p, t1)) - power(y, 2 - t1) / (2 - t1);
    }
    return sum;
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const Opposed<Pixel> two = opposed(pixel);
    const double shift = normaliser(two);
    double escort = 0, total = 0;  // sums of p^t2 and of p^t2 times the derivative by p
    for (int c = 0; c < two.classes; ++c) {
      const double p = exp_t(two.z(c) - shift);
      escort += power(p, t2);
      total += by_own(p, label(two, c));
    }
    double other = 0;  // by z(0) of two
    for (int c = 0; c < two.classes; ++c) {
      const double p = exp_t(two.z(c) - shift);
      const double by_z = by_own(p, label(two, c)) - power(p, t2) * (total / escort);
      if (pixel.classes > 1)
        sink(c, {by_z, 0});
      else if (c == 0)
        other = by_z;
      else
        sink(0, {by_z - other, 0});
    }
  }

 private:
  // The derivative by p times p^t2.
  FJORD_HD double by_own(double p, double y) const {
    const double own = y > 0 ? y * power(p, t2 - t1) : 0;
    return power(p, 1 - t1 + t2) - own;
  }
};

}  // namespace fjord
