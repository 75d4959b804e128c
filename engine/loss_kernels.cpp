// From a loss expression and the shapes it meets to what the kernels are asked for.
#include <algorithm>
#include <cmath>

#include "engine/loss_expression.h"

namespace fjord {
namespace {

using Kind = LossTerm::Kind;

[[noreturn]] void refuse(const LossExpression& expression, std::string_view why,
                         std::string_view remedy) {
  const LossExpression written{expression.terms, {}, {}};
  throw Error(ExitCode::usage, "loss", fmt::format("--loss \"{}\"", to_string(written)), why,
              remedy);
}

enum class Task : std::uint8_t { binary, classes, multilabel };

// An expression in front of logits: what its options have to agree with.
struct Resolver {
  const LossExpression& expression;
  Task task;
  int channels;
  bool hard;  // labels are 0, 1, ...

  [[noreturn]] void refuse(std::string_view why, std::string_view remedy) const {
    fjord::refuse(expression, why, remedy);
  }
  LabelRule label() const {
    return {task == Task::classes ? LabelForm::classes : LabelForm::elements, expression.ignore};
  }

  // One positive, finite value per channel, from none, one or all of them.
  std::vector<double> per_channel(const std::vector<double>& values, std::string_view what) const {
    std::vector<double> all = values;
    if (all.size() == 1 && channels > 1) all.assign(static_cast<std::size_t>(channels), values[0]);
    for (double value : all)
      if (!(value > 0) || !std::isfinite(value))
        refuse(fmt::format("{} has {}", what, value), "give finite values above 0");
    if (!all.empty() && all.size() != static_cast<std::size_t>(channels))
      refuse(fmt::format("{} has {} values for {} channels", what, all.size(), channels),
             "give one value per class");
    return all;
  }

  std::vector<double> class_weights(const LossTerm& term) const {
    const std::vector<double>& given =
        term.class_weights.empty() ? expression.class_weights : term.class_weights;
    if (!given.empty() && task == Task::binary)
      refuse("class weights need more than one class", "use bce(pos_weight=3) for one class");
    return per_channel(given, "class_weights");
  }

  // Each class's part of the mean: equal, or by weight, among the classes chosen.
  std::vector<double> shares(const LossTerm& term) const {
    const std::vector<double> weights = class_weights(term);
    std::vector<double> chosen = term.classes;
    if (!chosen.empty() && task == Task::binary)
      refuse("classes=[...] needs more than one class", "leave the option out");
    if (chosen.empty())
      for (int c = 0; c < channels; ++c) chosen.push_back(c);
    std::vector<double> share(static_cast<std::size_t>(channels), 0);
    double sum = 0;
    for (double c : chosen) {
      if (c != std::floor(c) || c < 0 || c >= channels)
        refuse(fmt::format("classes=[...] names class {}, the classes are 0..{}", c, channels - 1),
               "name classes of the model");
      const std::size_t index = static_cast<std::size_t>(c);
      const double weight = weights.empty() ? 1 : weights[index];
      share[index] += weight;
      sum += weight;
    }
    for (double& s : share) s /= sum;
    return share;
  }

  void check_range(bool ok, std::string_view rule) const {
    if (!ok) refuse(rule, "choose another value");
  }

  RegionLoss region(const LossTerm& term) const {
    check_range(term.smooth >= 0 && term.eps > 0, "a region loss needs smooth >= 0 and eps > 0");
    check_range(term.alpha >= 0 && term.beta >= 0 && term.gamma > 0,
                "tversky needs alpha and beta >= 0 and gamma > 0");
    RegionLoss region{term.weight, term.alpha, term.beta,     term.gamma,
                      term.smooth, term.eps,   term.log_loss, shares(term)};
    if (term.kind == Kind::dice) region.alpha = region.beta = 0.5;
    if (term.kind == Kind::jaccard) region.alpha = region.beta = 1;
    return region;
  }

  RegionLoss mcc(const LossTerm& term) const {
    if (task != Task::binary || !hard)
      refuse("mcc is a loss of binary labels 0 and 1", "use tversky, or --classes 1");
    check_range(term.eps > 0, "mcc needs eps > 0");
    return {
        .weight = term.weight, .eps = term.eps, .share = {1}, .score = RegionLoss::Score::matthews};
  }

  FocalLoss focal(const LossTerm& term) const {
    const auto within = [](const std::optional<double>& value) {
      return !value || (*value >= 0 && *value <= 1);
    };
    check_range(term.gamma >= 0 && within(term.balance),
                "focal needs gamma >= 0 and alpha between 0 and 1");
    check_range(within(term.reduced_threshold) && term.reduced_threshold != 0,
                "focal needs reduced_threshold above 0 and at most 1");
    return {term.weight,     term.gamma, term.balance, term.reduced_threshold,
            term.normalized, term.sum,   shares(term)};
  }

  PixelLoss bce(const LossTerm& term) const {
    if (task == Task::classes)
      refuse(
          fmt::format("bce compares each logit with a label of its own; here are {} channels and "
                      "class labels",
                      channels),
          "use softce for more than one class");
    check_range(term.smooth >= 0 && term.smooth <= 1, "bce needs smooth between 0 and 1");
    PixelLoss loss{PixelLoss::Kind::bce,
                   term.weight,
                   term.smooth,
                   term.sum,
                   per_channel(term.pos_weight, "pos_weight"),
                   per_channel(term.pixel_weight, "weight")};
    if (loss.class_weights.empty() && task == Task::multilabel)
      loss.class_weights = class_weights(term);
    return loss;
  }

  PixelLoss softce(const LossTerm& term) const {
    if (task != Task::classes)
      refuse(task == Task::binary ? "softce needs more than one class"
                                  : "softce needs class labels, not one label per channel",
             "use bce");
    check_range(term.smooth >= 0 && term.smooth <= 1, "softce needs smooth between 0 and 1");
    return {PixelLoss::Kind::softce, term.weight, term.smooth, term.sum, {}, class_weights(term)};
  }

  void add(const LossTerm& term, LossKernels& to) const {
    const auto once = [&](bool there, std::string_view name) {
      if (there) refuse(fmt::format("{} stands twice", name), "give it once, with one weight");
    };
    switch (term.kind) {
      case Kind::bce:
        to.terms.pixels.push_back(bce(term));
        break;
      case Kind::softce:
        to.terms.pixels.push_back(softce(term));
        break;
      case Kind::focal:
        once(to.terms.focal.has_value(), "focal");
        to.terms.focal = focal(term);
        break;
      case Kind::lovasz:
        once(to.lovasz.has_value(), "lovasz");
        to.lovasz = Lovasz{label(), term.weight, term.per_image};
        break;
      case Kind::mcc:
        to.terms.regions.push_back(mcc(term));
        break;
      case Kind::dice:
      case Kind::jaccard:
      case Kind::tversky:
        to.terms.regions.push_back(region(term));
        break;
    }
  }
};

Task task_of(const LossExpression& expression, Shape logits, Shape label, DType dtype) {
  const bool same_pixels =
      logits.n == label.n && logits.h == label.h && logits.w == label.w && logits.count() > 0;
  const bool hard = dtype == DType::u8;
  if (same_pixels && logits.c == 1 && label.c == 1) return Task::binary;
  if (same_pixels && label.c == 1 && hard && logits.c <= 256) return Task::classes;
  if (same_pixels && label.c == logits.c) return Task::multilabel;
  refuse(expression,
         fmt::format("logits are {}, the label is {}{}", to_string(logits), to_string(label),
                     hard ? " of class numbers" : ""),
         "give one class number per pixel (at most 256 classes) or one label per channel");
}

}  // namespace

LossKernels loss_kernels(const LossExpression& expression, Shape logits, Shape label,
                         DType label_dtype) {
  if (expression.terms.empty()) refuse(expression, "it has no loss", "use --loss dice");
  const Resolver resolver{expression, task_of(expression, logits, label, label_dtype),
                          static_cast<int>(logits.c), label_dtype == DType::u8};
  if (expression.ignore && (*expression.ignore < 0 || *expression.ignore > 255))
    refuse(expression, fmt::format("label {} can't be ignored", *expression.ignore),
           "use --ignore-index with 0..255");
  LossKernels kernels;
  kernels.terms.label = resolver.label();
  bool weighted = expression.class_weights.empty();
  for (const LossTerm& term : expression.terms) {
    weighted = weighted || (term.kind != Kind::lovasz && term.kind != Kind::mcc);
    resolver.add(term, kernels);
  }
  if (!weighted)
    refuse(expression, "none of its losses takes class weights",
           "add dice or softce, or leave --class-weights out");
  if (kernels.lovasz && logits.count() >= std::int64_t{1} << 32)
    refuse(expression, "lovasz sorts at most 2^32 errors", "use a smaller batch");
  return kernels;
}

}  // namespace fjord
