// The losses that are a formula of one pixel, by their kind, for every backend.
#pragma once

#include <cstdint>

#include "kernels/loss_class_formulas.h"
#include "kernels/loss_element_formulas.h"

namespace fjord {

/// Which formula, with the numbers that it needs.
struct LossFormula {
  enum class Kind : std::uint8_t {
    balanced_bce,
    bi_tempered,
    ce_focal,
    focal_cosine,
    log_cosh,
    quality_focal,
    softmax_focal,
    wing
  } kind = Kind::wing;
  double alpha = 1, gamma = 2;
  double threshold = 0;  // reduced focal losses: 0 is none
  double t1 = 0.8, t2 = 1.4, smooth = 0;
  int iterations = 5;
  double width = 5, curvature = 0.5;
  double xent = 0.1;
};

/// Sums over the pixels, with how many of their labels are 1 and 0.
struct FormulaSums {
  double value = 0, factor = 0, ones = 0, zeros = 0;
};

/// A formula times the weight of its pixel's class; `whole`: of both its sums, where both are loss.
template <class Formula>
struct Weighted {
  Formula formula;
  bool whole = false;

  FJORD_HD FormulaPart times(double weight, const FormulaPart& part) const {
    return {weight * part.value, whole ? weight * part.factor : part.factor};
  }
  template <class Pixel>
  FJORD_HD FormulaPart value(const Pixel& pixel) const {
    return times(pixel.own_weight(), formula.value(pixel));
  }
  template <class Pixel, class Sink>
  FJORD_HD void gradient(const Pixel& pixel, const Sink& sink) const {
    const double weight = pixel.own_weight();
    formula.gradient(pixel, [&](int c, const FormulaPart& by) { sink(c, times(weight, by)); });
  }
};

/// body(formula) for the formula of that kind.
template <class Body>
FJORD_HD void with_formula(const LossFormula& f, const Body& body) {
  using Kind = LossFormula::Kind;
  const FocalFactor focal{f.gamma, f.threshold};
  switch (f.kind) {
    case Kind::balanced_bce:
      return body(Weighted<BalancedBce>{{}, true});
    case Kind::bi_tempered:
      return body(Weighted<BiTempered>{{f.t1, f.t2, f.smooth, f.iterations}});
    case Kind::ce_focal:
      return body(CrossEntropyFocal{focal});
    case Kind::focal_cosine:
      return body(Weighted<FocalCosine>{{f.alpha, f.xent, focal}});
    case Kind::log_cosh:
      return body(Weighted<LogCosh>{});
    case Kind::quality_focal:
      return body(Weighted<QualityFocal>{{f.gamma}});
    case Kind::softmax_focal:
      return body(Weighted<SoftmaxFocal>{{focal}});
    case Kind::wing:
      return body(Weighted<Wing>{{f.width, f.curvature}});
  }
}

/// From the sums to the loss and its derivatives by the first two.
struct FormulaMean {
  double weight, pixels;
  bool normalized;

  FJORD_HD double operator()(const LossFormula& formula, FormulaSums sums, double* slopes) const {
    const double scale = pixels > 0 ? weight / pixels : 0;
    slopes[0] = scale;
    slopes[1] = 0;
    if (formula.kind == LossFormula::Kind::balanced_bce) {
      const double rare = power(sums.zeros / (sums.zeros + sums.ones + 1e-7), formula.gamma);
      slopes[0] = scale * power(rare, formula.gamma);
      slopes[1] = scale * power(1 - rare, formula.gamma);
    } else if (normalized) {
      const double factor = sums.factor < 1e-6 ? 1e-6 : sums.factor;
      slopes[0] = scale / factor;
      const double value = slopes[0] * sums.value;
      slopes[1] = sums.factor < 1e-6 ? 0 : -value / factor;
      return value;
    }
    return slopes[0] * sums.value + slopes[1] * sums.factor;
  }
};

}  // namespace fjord
