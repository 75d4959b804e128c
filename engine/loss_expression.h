// Weighted sums of losses as users write them: "0.5*lovasz+0.5*softce(smooth=0.1)".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/formula_loss.h"
#include "kernels/loss.h"

namespace fjord {

/// One loss of an expression with its options, under the names and with the defaults of SMP and of
/// pytorch-toolbelt (docs/losses.md says which).
struct LossTerm {
  enum class Kind : std::uint8_t {
    balanced_bce,
    bce,
    bi_tempered,
    ce_focal,
    dice,
    focal,
    focal_cosine,
    jaccard,
    log_cosh,
    log_cosh_dice,
    lovasz,
    mcc,
    quality_focal,
    soft_f1,
    softce,
    softmax_focal,
    tversky,
    wing
  };

  Kind kind = Kind::dice;
  double weight = 1;
  double smooth = 0;                             // dice and its kin, bce, softce, bi_tempered
  double eps = 1e-7;                             // dice and its kin; mcc: 1e-5, soft_f1: 1e-6
  bool log_loss = false;                         // dice, jaccard, tversky: -log(score)
  std::vector<double> classes;                   // which take part; empty: all
  std::vector<double> class_weights;             // also softce and focal
  double alpha = 0.5, beta = 0.5, gamma = 1;     // tversky: false positives, negatives, power
  std::optional<double> balance;                 // focal: its alpha; gamma is 2 there
  std::optional<double> reduced_threshold;       // focal, ce_focal, softmax_focal
  bool normalized = false;                       // these and quality_focal
  std::vector<double> pos_weight, pixel_weight;  // bce: one value or one per channel
  bool per_image = false;                        // lovasz
  double t1 = 0.8, t2 = 1.4, iterations = 5;     // bi_tempered
  double width = 5, curvature = 0.5;             // wing
  double xent = 0.1;                             // focal_cosine
  bool sum = false;                              // reduction=sum instead of mean

  bool operator==(const LossTerm&) const = default;
};

struct LossExpression {
  std::vector<LossTerm> terms;
  std::optional<int> ignore;          // --ignore-index; an option ignore=N of any term sets it too
  std::vector<double> class_weights;  // --class-weights: for every term that takes them

  bool operator==(const LossExpression&) const = default;
};

/// Reads "weight*name(option=value, ...) + ..."; a list is [1, 2]. Throws Error{usage} naming the
/// position, what stands there and the nearest known name.
LossExpression parse_loss(std::string_view text);

/// The expression with everything that is not a default written out.
std::string to_string(const LossExpression& expression);

/// "dice".
std::string_view name_of(LossTerm::Kind kind);

/// What the kernels are asked for.
struct LossKernels {
  LossTerms terms;               // regions and pixels may both be empty
  std::optional<Lovasz> lovasz;  // at most one: it has a gradient buffer of its own
  std::vector<FormulaLoss> formulas;
};

/// Decides between binary, multi-class and multi-label by the shapes and checks every option
/// against them: one channel and a label n x h x w x 1 is binary (u8 or soft), more channels and a
/// u8 label n x h x w x 1 are classes, a label like the logits is multi-label. Throws Error{usage}.
LossKernels loss_kernels(const LossExpression& expression, Shape logits, Shape label,
                         DType label_dtype);

}  // namespace fjord
