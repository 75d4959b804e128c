// Losses: slots and attributes. One pass over logits and label takes the sums of every region and
// pixel loss of an expression, one pass writes the gradient of all of them; Lovasz sorts on its
// own.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/loss_math.h"

namespace fjord {

/// How logits and label meet. `elements`: sigmoid of every logit against a label of the same shape
/// (binary and multi-label; u8 or the logits' type). `classes`: softmax over the channels against a
/// u8 label n x h x w x 1 of class numbers.
enum class LabelForm : std::uint8_t { elements, classes };

/// A label equal to `ignore` takes part in no sum; nor does a class number outside of 0..C-1 (0..1
/// for u8 elements): readers validate labels, kernels only stay inside of their memory.
struct LabelRule {
  LabelForm form = LabelForm::elements;
  std::optional<int> ignore;
};

/// weight * (sum over classes of share[c] * f(score_c)) ^ gamma, f(s) = 1 - s or -log s, over all
/// pixels of the batch. `tversky`: score = (I + smooth) / max(I + alpha FP + beta FN + smooth,
/// eps); Dice is alpha = beta = 0.5, Jaccard 1; classes without a label pixel count as 0.
/// `matthews`: the correlation coefficient, eps added to TP, FP, FN and TN; of hard labels.
/// `soft_f1`: 2 TP / (2 TP + FN + FP + eps); of hard labels; classes without a label count too.
struct RegionLoss {
  double weight = 1;
  double alpha = 0.5, beta = 0.5, gamma = 1;
  double smooth = 0, eps = 1e-7;
  bool log_loss = false;
  std::vector<double> share = {};  // one per class; shares sum to 1
  RegionScore::Kind score = RegionScore::Kind::tversky;
  bool log_cosh = false;  // weight * log(cosh(sum)) instead of the power
};

/// weight * sum over classes of share[c] * mean over its pixels of balance * f * l (Lin et al.
/// 2017, as SMP computes it): l is the cross-entropy of the sigmoid of a class's logit with its
/// label (in the softmax form with "is it this class"), p_t = exp(-l), f = (1 - p_t) ^ gamma,
/// balance = alpha for label 1 and 1 - alpha for label 0. Ignored pixels are not counted.
struct FocalLoss {
  double weight = 1;
  double gamma = 2;
  std::optional<double> alpha = {};              // absent: balance = 1
  std::optional<double> reduced_threshold = {};  // r: f = ((1 - p_t) / r) ^ gamma, 1 where p_t < r
  bool normalized = false;                       // divided by the class's sum of f
  bool sum = false;                              // the sum over the pixels instead of the mean
  std::vector<double> share = {};                // one per class; shares sum to 1
};

/// Its formula for one logit.
template <class T>
Focal<T> focal_formula(const FocalLoss& loss) {
  const double alpha = loss.alpha.value_or(1);
  return {static_cast<T>(loss.gamma), static_cast<T>(alpha),
          static_cast<T>(loss.alpha ? 1 - alpha : 1),
          static_cast<T>(loss.reduced_threshold.value_or(0))};
}

/// A loss that is a sum over pixels (bce: over elements), divided by how many there are, ignored
/// ones included, or for softce with class weights by the sum of the labels' weights.
struct PixelLoss {
  enum class Kind : std::uint8_t { bce, softce } kind = Kind::bce;
  double weight = 1;
  double smooth = 0;
  bool sum = false;                        // the sum itself instead of the mean
  std::vector<double> positive = {};       // bce: weight of label 1, one per channel
  std::vector<double> class_weights = {};  // one per channel or class; empty: all 1
};

struct LossTerms {
  LabelRule label;
  std::vector<RegionLoss> regions;
  std::vector<PixelLoss> pixels;
  std::optional<FocalLoss> focal = {};

  bool empty() const { return regions.empty() && pixels.empty() && !focal; }
};

/// Hinge for elements, softmax over the classes present for classes (Berman et al. 2018).
struct Lovasz {
  LabelRule label;
  double weight = 1;
  bool per_image = false;  // the mean of the losses of each image instead of one of the batch
  /// On a GPU errors of several classes or images are sorted together, up to this many: more take
  /// more memory, fewer more time.
  std::int64_t together = std::int64_t{1} << 21;
};

/// Doubles that loss_forward leaves for loss_backward: per class the derivatives of the loss by the
/// sum of probabilities and by the sum of |p - t|, then one factor per pixel loss, then with a
/// focal loss per class the derivatives by its sum of values and by its sum of f.
inline std::int64_t loss_slope_count(std::int64_t classes, const LossTerms& terms) {
  return 2 * classes * (terms.focal ? 2 : 1) + static_cast<std::int64_t>(terms.pixels.size());
}

/// logits, label -> slopes (f64, see above), loss (one value, stored or added: f32 for logits of
/// any type; the reference computes in f64).
inline Kernel<In, In, Out, Out, const LossTerms&> loss_forward{"loss_forward"};

/// logits, label -> slope (f32, as many as logits: derivative by each logit of the hinge form, by
/// each probability of the softmax form), scratch (i64, lovasz_scratch_count values), loss (f32,
/// stored or added).
inline Kernel<In, In, Out, Out, Out, const Lovasz&> lovasz_forward{"lovasz_forward"};

/// The errors that are sorted against each other: of a class, of an image when `per_image`.
constexpr std::int64_t lovasz_problem(Shape logits, const Lovasz& lovasz) {
  const std::int64_t pixels = logits.pixels() / (lovasz.per_image && logits.n > 0 ? logits.n : 1);
  return pixels * (lovasz.label.form == LabelForm::elements ? logits.c : 1);
}

/// The errors that are sorted in one go.
constexpr std::int64_t lovasz_errors(Shape logits, const Lovasz& lovasz) {
  const std::int64_t all = logits.count(), problem = lovasz_problem(logits, lovasz);
  const std::int64_t together = all < lovasz.together ? all : lovasz.together;
  return problem > together ? problem : together;
}

/// For every backend: two values an error that is sorted at once, and what a sort asks for itself.
constexpr std::int64_t lovasz_scratch_count(Shape logits, const Lovasz& lovasz) {
  const std::int64_t errors = lovasz_errors(logits, lovasz);
  return 2 * errors + errors / 8 + 8192;
}

/// logits, label, slopes (absent where terms are empty), Lovasz slope (may be absent),
/// scale (one f32, absent: 1) -> dlogits of everything times scale, written once. The gradient of
/// the loss itself is 1: it is the root.
inline Kernel<In, In, In, In, In, Out, const LossTerms&> loss_backward{"loss_backward"};

}  // namespace fjord
