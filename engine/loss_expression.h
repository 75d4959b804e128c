// Weighted sums of losses as users write them: "0.5*lovasz+0.5*softce(smooth=0.1)".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/loss.h"

namespace fjord {

/// One loss of an expression with its options, under SMP's names and with SMP's defaults.
struct LossTerm {
  enum class Kind : std::uint8_t { bce, dice, focal, jaccard, lovasz, mcc, softce, tversky };

  Kind kind = Kind::dice;
  double weight = 1;
  double smooth = 0;                             // all but lovasz, focal and mcc
  double eps = 1e-7;                             // dice, jaccard, tversky; mcc: 1e-5
  bool log_loss = false;                         // dice, jaccard, tversky: -log(score)
  std::vector<double> classes;                   // which take part; empty: all
  std::vector<double> class_weights;             // also softce and focal
  double alpha = 0.5, beta = 0.5, gamma = 1;     // tversky: false positives, negatives, power
  std::optional<double> balance;                 // focal: its alpha; gamma is 2 there
  std::optional<double> reduced_threshold;       // focal
  bool normalized = false;                       // focal
  std::vector<double> pos_weight, pixel_weight;  // bce: one value or one per channel
  bool per_image = false;                        // lovasz
  bool sum = false;  // bce, softce, focal: reduction=sum instead of mean

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

/// What the kernels are asked for.
struct LossKernels {
  LossTerms terms;               // regions and pixels may both be empty
  std::optional<Lovasz> lovasz;  // at most one: it has a gradient buffer of its own
};

/// Decides between binary, multi-class and multi-label by the shapes and checks every option
/// against them: one channel and a label n x h x w x 1 is binary (u8 or soft), more channels and a
/// u8 label n x h x w x 1 are classes, a label like the logits is multi-label. Throws Error{usage}.
LossKernels loss_kernels(const LossExpression& expression, Shape logits, Shape label,
                         DType label_dtype);

}  // namespace fjord
