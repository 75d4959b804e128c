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

// The losses that are a formula of one pixel, and what labels each is for.
enum class Form : std::uint8_t { elements, classes, any };
struct FormulaRow {
  Kind kind;
  LossFormula::Kind formula;
  Form form;
};
constexpr FormulaRow kFormulas[]{
    {Kind::balanced_bce, LossFormula::Kind::balanced_bce, Form::elements},
    {Kind::bi_tempered, LossFormula::Kind::bi_tempered, Form::any},
    {Kind::ce_focal, LossFormula::Kind::ce_focal, Form::classes},
    {Kind::focal_cosine, LossFormula::Kind::focal_cosine, Form::classes},
    {Kind::log_cosh, LossFormula::Kind::log_cosh, Form::elements},
    {Kind::quality_focal, LossFormula::Kind::quality_focal, Form::elements},
    {Kind::softmax_focal, LossFormula::Kind::softmax_focal, Form::classes},
    {Kind::wing, LossFormula::Kind::wing, Form::elements}};

const FormulaRow* formula_row(Kind kind) {
  const auto* row = std::find_if(std::begin(kFormulas), std::end(kFormulas),
                                 [kind](const FormulaRow& one) { return one.kind == kind; });
  return row == std::end(kFormulas) ? nullptr : row;
}

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
    if (term.kind == Kind::dice || term.kind == Kind::log_cosh_dice)
      region.alpha = region.beta = 0.5;
    region.log_cosh = term.kind == Kind::log_cosh_dice;
    if (term.kind == Kind::jaccard) region.alpha = region.beta = 1;
    return region;
  }

  RegionLoss mcc(const LossTerm& term) const {
    if (task != Task::binary || !hard)
      refuse("mcc is a loss of binary labels 0 and 1", "use tversky, or --classes 1");
    check_range(term.eps > 0, "mcc needs eps > 0");
    return {
        .weight = term.weight, .eps = term.eps, .share = {1}, .score = RegionScore::Kind::matthews};
  }

  RegionLoss soft_f1(const LossTerm& term) const {
    if (!hard) refuse("soft_f1 is a loss of hard labels", "use dice");
    check_range(term.eps > 0, "soft_f1 needs eps > 0");
    return {.weight = term.weight,
            .eps = term.eps,
            .share = shares(term),
            .score = RegionScore::Kind::soft_f1};
  }

  void need_elements(const LossTerm& term) const {
    if (task == Task::classes)
      refuse(fmt::format("{} compares each logit with a label of its own; here are {} channels and "
                         "class labels",
                         name_of(term.kind), channels),
             "use softce for more than one class");
  }
  void need_classes(const LossTerm& term) const {
    if (task != Task::classes)
      refuse(fmt::format("{} needs {}", name_of(term.kind),
                         task == Task::binary ? "more than one class"
                                              : "class labels, not one label per channel"),
             "use bce");
  }
  void check_reduced_threshold(const LossTerm& term) const {
    const double threshold = term.reduced_threshold.value_or(1);
    check_range(threshold > 0 && threshold <= 1,
                "focal needs reduced_threshold above 0 and at most 1");
  }

  FocalLoss focal(const LossTerm& term) const {
    const double alpha = term.balance.value_or(0);
    check_range(term.gamma >= 0 && alpha >= 0 && alpha <= 1,
                "focal needs gamma >= 0 and alpha between 0 and 1");
    check_reduced_threshold(term);
    return {term.weight,     term.gamma, term.balance, term.reduced_threshold,
            term.normalized, term.sum,   shares(term)};
  }

  PixelLoss bce(const LossTerm& term) const {
    need_elements(term);
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
    need_classes(term);
    check_range(term.smooth >= 0 && term.smooth <= 1, "softce needs smooth between 0 and 1");
    return {PixelLoss::Kind::softce, term.weight, term.smooth, term.sum, {}, class_weights(term)};
  }

  // Of the formulas: in multi-label data a weight a channel, as bce has.
  std::vector<double> formula_weights(const LossTerm& term) const {
    const std::vector<double> weights = class_weights(term);
    if (weights.size() > 256)
      refuse(fmt::format("class weights of {} are for at most 256 classes", name_of(term.kind)),
             "leave class_weights out");
    return weights;
  }

  FormulaLoss formula(const LossTerm& term, const FormulaRow& row) const {
    if (row.form == Form::elements) need_elements(term);
    if (row.form == Form::classes) need_classes(term);
    for (double value : {term.alpha, term.beta, term.gamma, term.xent})
      check_range(value >= 0, "alpha, beta, gamma and xent are at least 0");
    check_range(term.width > 0 && term.curvature > 0, "wing needs width and curvature above 0");
    check_range(term.t1 >= 0 && term.t1 <= 1 && term.t2 >= 1, "bi_tempered needs t1 <= 1 <= t2");
    check_range(term.smooth >= 0 && term.smooth < 1, "bi_tempered needs smooth between 0 and 1");
    check_range(term.iterations == std::floor(term.iterations) && term.iterations >= 1 &&
                    term.iterations <= 1000,
                "bi_tempered needs 1 to 1000 iterations");
    check_reduced_threshold(term);
    const bool quality = row.formula == LossFormula::Kind::quality_focal;
    return {label(),
            term.weight,
            term.sum || (quality && term.normalized),
            term.normalized,
            {.kind = row.formula,
             .alpha = term.alpha,
             .gamma = quality ? term.beta : term.gamma,
             .threshold = term.reduced_threshold.value_or(0),
             .t1 = term.t1,
             .t2 = term.t2,
             .smooth = term.smooth,
             .iterations = static_cast<int>(term.iterations),
             .width = term.width,
             .curvature = term.curvature,
             .xent = term.xent},
            formula_weights(term)};
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
      case Kind::soft_f1:
        to.terms.regions.push_back(soft_f1(term));
        break;
      case Kind::dice:
      case Kind::jaccard:
      case Kind::log_cosh_dice:
      case Kind::tversky:
        to.terms.regions.push_back(region(term));
        break;
      case Kind::balanced_bce:
      case Kind::quality_focal:
      case Kind::bi_tempered:
      case Kind::focal_cosine:
      case Kind::ce_focal:
      case Kind::softmax_focal:
      case Kind::wing:
      case Kind::log_cosh:
        to.formulas.push_back(formula(term, *formula_row(term.kind)));
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

// Lovasz is a mean over the classes present, by SMP an even one; mcc has one class.
bool takes_class_weights(Kind kind) { return kind != Kind::lovasz && kind != Kind::mcc; }

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
    weighted = weighted || takes_class_weights(term.kind);
    resolver.add(term, kernels);
  }
  if (!weighted)
    refuse(expression,
           "none of its losses takes class weights: lovasz ranks the pixels of each class by "
           "themselves, mcc has one class",
           "add dice or softce, or leave --class-weights out");
  if (kernels.lovasz && logits.count() >= std::int64_t{1} << 32)
    refuse(expression, "lovasz sorts at most 2^32 errors", "use a smaller batch");
  return kernels;
}

}  // namespace fjord
