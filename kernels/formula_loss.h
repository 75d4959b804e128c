// Losses beside the common ones (loss.h): each is a formula of one pixel (loss_formulas.h), in a
// pass of its own for the sums and one for the gradient.
#pragma once

#include <vector>

#include "kernels/kernel.h"
#include "kernels/loss.h"
#include "kernels/loss_formulas.h"

namespace fjord {

/// weight * mean over all pixels (in the form `elements`: logits), ignored ones included, of a
/// formula of theirs. Ignored pixels count as 0.
struct FormulaLoss {
  LabelRule label;
  double weight = 1;
  bool sum = false;         // the sum over the pixels instead of the mean
  bool normalized = false;  // divided by the sum of the formula's factors
  LossFormula formula = {};
  /// One per channel, for the elements of it, or per class, for the pixels of that label; each
  /// entry's loss is multiplied before the mean, whose divisor stays. Empty: all 1.
  std::vector<double> class_weights = {};
};

/// logits, label -> slopes (2 doubles: derivatives by the sums of the pixels' values and factors),
/// loss (one value, stored or added: f32 for logits of any type).
inline Kernel<In, In, Out, Out, const FormulaLoss&> formula_loss_forward{"formula_loss_forward"};

/// logits, label, slopes, scale (one f32, absent: 1) -> dlogits, stored or added.
inline Kernel<In, In, In, In, Out, const FormulaLoss&> formula_loss_backward{
    "formula_loss_backward"};

/// How the sums become the loss.
inline FormulaMean formula_mean(const FormulaLoss& loss, Shape logits) {
  const bool elements = loss.label.form == LabelForm::elements;
  const auto pixels = static_cast<double>(elements ? logits.count() : logits.pixels());
  return {loss.weight, loss.sum ? 1 : pixels, loss.normalized};
}

}  // namespace fjord
