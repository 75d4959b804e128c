// The table of losses: adding one is a row here.
#include "engine/loss_table.h"

namespace fjord {
namespace {

using Kind = LossTerm::Kind;
using Option = LossOption;

constexpr Option kSmooth{"smooth", &LossTerm::smooth};
constexpr Option kEps{"eps", &LossTerm::eps};
constexpr Option kLogLoss{"log_loss", nullptr, nullptr, &LossTerm::log_loss};
constexpr Option kClasses{"classes", nullptr, &LossTerm::classes};
constexpr Option kClassWeights{"class_weights", nullptr, &LossTerm::class_weights};
constexpr Option kIgnore{"ignore"};
constexpr Option kReduction{"reduction"};
constexpr Option kAlpha{"alpha", &LossTerm::alpha};
constexpr Option kBeta{"beta", &LossTerm::beta};
constexpr Option kGamma{"gamma", &LossTerm::gamma};
constexpr Option kNormalized{"normalized", nullptr, nullptr, &LossTerm::normalized};
constexpr Option kReducedThreshold{"reduced_threshold", nullptr, nullptr, nullptr,
                                   &LossTerm::reduced_threshold};

}  // namespace

const std::vector<KnownLoss>& known_losses() {
  static const std::vector<Option> region{kSmooth,  kEps,          kLogLoss,
                                          kClasses, kClassWeights, kIgnore};
  static const std::vector<Option> tversky{kSmooth, kEps,   kLogLoss, kClasses, kClassWeights,
                                           kIgnore, kAlpha, kBeta,    kGamma};
  static const std::vector<Option> focal{kGamma,      kIgnore,           kReduction,
                                         kNormalized, kReducedThreshold, kClassWeights};
  static const std::vector<KnownLoss> known{
      {"balanced_bce", Kind::balanced_bce, {kGamma, kIgnore, kReduction, kClassWeights}},
      {"bce",
       Kind::bce,
       {kSmooth,
        kIgnore,
        kReduction,
        {"pos_weight", nullptr, &LossTerm::pos_weight},
        {"weight", nullptr, &LossTerm::pixel_weight}}},
      {"bi_tempered",
       Kind::bi_tempered,
       {{"t1", &LossTerm::t1},
        {"t2", &LossTerm::t2},
        kSmooth,
        {"iterations", &LossTerm::iterations},
        kIgnore,
        kReduction,
        kClassWeights}},
      {"ce_focal", Kind::ce_focal, focal},
      {"dice", Kind::dice, region},
      {"focal",
       Kind::focal,
       {{"alpha", nullptr, nullptr, nullptr, &LossTerm::balance},
        kGamma,
        kIgnore,
        kReduction,
        kNormalized,
        kReducedThreshold,
        kClassWeights}},
      {"focal_cosine",
       Kind::focal_cosine,
       {kAlpha, kGamma, {"xent", &LossTerm::xent}, kIgnore, kReduction, kClassWeights}},
      {"jaccard", Kind::jaccard, region},
      {"log_cosh", Kind::log_cosh, {kIgnore, kReduction, kClassWeights}},
      {"log_cosh_dice", Kind::log_cosh_dice, region},
      {"lovasz", Kind::lovasz, {kIgnore, {"per_image", nullptr, nullptr, &LossTerm::per_image}}},
      {"mcc", Kind::mcc, {kEps, kIgnore}},
      {"quality_focal",
       Kind::quality_focal,
       {kBeta, kIgnore, kReduction, kNormalized, kClassWeights}},
      {"soft_f1", Kind::soft_f1, {kEps, kIgnore, kClassWeights}},
      {"softce", Kind::softce, {kSmooth, kIgnore, kReduction, kClassWeights}},
      {"softmax_focal", Kind::softmax_focal, focal},
      {"tversky", Kind::tversky, tversky},
      {"wing",
       Kind::wing,
       {{"width", &LossTerm::width},
        {"curvature", &LossTerm::curvature},
        kIgnore,
        kReduction,
        kClassWeights}}};
  return known;
}

LossTerm fresh_term(Kind kind) {
  LossTerm term;
  term.kind = kind;
  switch (kind) {
    case Kind::ce_focal:
    case Kind::focal:
    case Kind::softmax_focal:
      term.gamma = 2;
      break;
    case Kind::focal_cosine:
      term.alpha = 1, term.gamma = 2;
      break;
    case Kind::mcc:
      term.eps = 1e-5;
      break;
    case Kind::quality_focal:
      term.beta = 2;
      break;
    case Kind::soft_f1:
      term.eps = 1e-6;
      break;
    default:
      break;
  }
  return term;
}

std::string_view name_of(LossTerm::Kind kind) {
  for (const KnownLoss& known : known_losses())
    if (known.kind == kind) return known.name;
  return "";
}

}  // namespace fjord
