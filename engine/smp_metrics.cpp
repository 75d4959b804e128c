// smp.metrics: counts, scores and reductions.
#include "engine/smp_metrics.h"

#include <cmath>
#include <numeric>

#include "kernels/error.h"

namespace fjord {
namespace {

constexpr NamedScore kScores[]{{"fbeta_score", Score::fbeta},
                               {"f1_score", Score::fbeta},
                               {"iou_score", Score::iou},
                               {"accuracy", Score::accuracy},
                               {"precision", Score::precision},
                               {"recall", Score::recall},
                               {"sensitivity", Score::recall},
                               {"specificity", Score::specificity},
                               {"balanced_accuracy", Score::balanced_accuracy},
                               {"positive_predictive_value", Score::precision},
                               {"negative_predictive_value", Score::negative_predictive_value},
                               {"false_negative_rate", Score::false_negative_rate},
                               {"false_positive_rate", Score::false_positive_rate},
                               {"false_discovery_rate", Score::false_discovery_rate},
                               {"false_omission_rate", Score::false_omission_rate},
                               {"positive_likelihood_ratio", Score::positive_likelihood_ratio},
                               {"negative_likelihood_ratio", Score::negative_likelihood_ratio}};

constexpr NamedReduction kReductions[]{{"none", Reduction::none},
                                       {"micro", Reduction::micro},
                                       {"macro", Reduction::macro},
                                       {"weighted", Reduction::weighted},
                                       {"micro-imagewise", Reduction::micro_imagewise},
                                       {"macro-imagewise", Reduction::macro_imagewise},
                                       {"weighted-imagewise", Reduction::weighted_imagewise}};

struct Counts {
  double tp = 0, fp = 0, fn = 0, tn = 0;
};

double value(Score score, const Counts& n, double beta) {
  const double b = beta * beta, recall = n.tp / (n.tp + n.fn), specificity = n.tn / (n.tn + n.fp);
  switch (score) {
    case Score::fbeta:
      return (1 + b) * n.tp / ((1 + b) * n.tp + b * n.fn + n.fp);
    case Score::iou:
      return n.tp / (n.tp + n.fp + n.fn);
    case Score::accuracy:
      return (n.tp + n.tn) / (n.tp + n.fp + n.fn + n.tn);
    case Score::recall:
      return recall;
    case Score::specificity:
      return specificity;
    case Score::balanced_accuracy:
      return (recall + specificity) / 2;
    case Score::precision:
      return n.tp / (n.tp + n.fp);
    case Score::negative_predictive_value:
      return n.tn / (n.tn + n.fn);
    case Score::false_negative_rate:
      return 1 - recall;
    case Score::false_positive_rate:
      return 1 - specificity;
    case Score::false_discovery_rate:
      return 1 - n.tp / (n.tp + n.fp);
    case Score::false_omission_rate:
      return 1 - n.tn / (n.tn + n.fn);
    case Score::positive_likelihood_ratio:
      return recall / (1 - specificity);
    case Score::negative_likelihood_ratio:
      return (1 - recall) / specificity;
  }
  return NAN;
}

// Sums counts over images, classes or both; what is not summed stays a dimension.
struct Sum {
  bool images = false, classes = false;
};

std::vector<Counts> summed(const PixelStats& stats, Sum sum) {
  const std::int64_t rows = sum.images ? 1 : stats.images,
                     columns = sum.classes ? 1 : stats.classes;
  std::vector<Counts> result(static_cast<std::size_t>(rows * columns));
  for (std::int64_t i = 0; i < stats.images; ++i)
    for (std::int64_t c = 0; c < stats.classes; ++c) {
      const auto from = static_cast<std::size_t>(i * stats.classes + c);
      Counts& to =
          result[static_cast<std::size_t>((sum.images ? 0 : i) * columns + (sum.classes ? 0 : c))];
      to.tp += static_cast<double>(stats.tp[from]);
      to.fp += static_cast<double>(stats.fp[from]);
      to.fn += static_cast<double>(stats.fn[from]);
      to.tn += static_cast<double>(stats.tn[from]);
    }
  return result;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Normalised class weights; 1 each when none are given, as SMP multiplies by 1.0 then.
std::vector<double> normalised(const PixelStats& stats, const ScoreOptions& options) {
  const std::vector<double>& given = options.class_weights;
  if (given.empty()) return std::vector<double>(static_cast<std::size_t>(stats.classes), 1.0);
  check(given.size() == static_cast<std::size_t>(stats.classes), "score",
        "{} class weights for {} classes", given.size(), stats.classes);
  const double sum = std::accumulate(given.begin(), given.end(), 0.0);
  std::vector<double> weights = given;
  for (double& w : weights) w /= sum;
  return weights;
}

// Per-class values to one: their weighted mean, or for `total` their weighted sum.
double over_classes(const std::vector<double>& values, const std::vector<double>& weights,
                    bool total) {
  double sum = 0;
  for (std::size_t c = 0; c < values.size(); ++c) sum += values[c] * weights[c];
  return total ? sum : sum / static_cast<double>(values.size());
}

std::vector<double> over_images(const std::vector<double>& values, std::size_t classes) {
  std::vector<double> means(classes, 0);
  for (std::size_t i = 0; i < values.size(); ++i)
    means[i % classes] +=
        values[i] * static_cast<double>(classes) / static_cast<double>(values.size());
  return means;
}

}  // namespace

std::span<const NamedScore> smp_scores() { return kScores; }
std::span<const NamedReduction> smp_reductions() { return kReductions; }

PixelStats class_stats(std::span<const std::int64_t> output, std::span<const std::int64_t> target,
                       Shape shape, int classes, std::optional<std::int64_t> ignore) {
  check(
      output.size() == target.size() && static_cast<std::int64_t>(output.size()) == shape.pixels(),
      "class_stats", "{} outputs and {} targets for {}", output.size(), target.size(),
      to_string(shape));
  PixelStats stats{shape.n, classes, {}, {}, {}, {}};
  const auto cells = static_cast<std::size_t>(shape.n * classes);
  for (auto* counts : {&stats.tp, &stats.fp, &stats.fn, &stats.tn}) counts->assign(cells, 0);
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (target[i] == ignore) continue;
    const auto row = static_cast<std::int64_t>(i) / (shape.h * shape.w) * classes;
    for (std::int64_t c = 0; c < classes; ++c) {
      const bool guess = output[i] == c, truth = target[i] == c;
      auto& counts = guess ? (truth ? stats.tp : stats.fp) : (truth ? stats.fn : stats.tn);
      ++counts[static_cast<std::size_t>(row + c)];
    }
  }
  return stats;
}

PixelStats element_stats(std::span<const double> output, std::span<const double> target,
                         Shape shape, double threshold) {
  check(output.size() == target.size() && static_cast<std::int64_t>(output.size()) == shape.count(),
        "element_stats", "{} outputs and {} targets for {}", output.size(), target.size(),
        to_string(shape));
  PixelStats stats{shape.n, shape.c, {}, {}, {}, {}};
  const auto cells = static_cast<std::size_t>(shape.n * shape.c);
  for (auto* counts : {&stats.tp, &stats.fp, &stats.fn, &stats.tn}) counts->assign(cells, 0);
  for (std::size_t i = 0; i < output.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const std::int64_t cell = at / (shape.h * shape.w * shape.c) * shape.c + at % shape.c;
    const bool guess = output[i] >= threshold, truth = target[i] >= threshold;
    auto& counts = guess ? (truth ? stats.tp : stats.fp) : (truth ? stats.fn : stats.tn);
    ++counts[static_cast<std::size_t>(cell)];
  }
  return stats;
}

std::vector<double> score(const PixelStats& stats, Score score, const ScoreOptions& options) {
  const Reduction reduction = options.reduction;
  const bool total = reduction == Reduction::weighted;
  check(!(total || reduction == Reduction::weighted_imagewise) || !options.class_weights.empty(),
        "score", "a weighted reduction needs class weights");
  auto values_of = [&](Sum sum) {
    std::vector<double> values;
    for (const Counts& counts : summed(stats, sum)) {
      const double v = value(score, counts, options.beta);
      const bool keep = !std::isnan(v) || reduction == Reduction::micro;
      values.push_back(keep ? v : options.zero_division);
    }
    return values;
  };
  switch (reduction) {
    case Reduction::none:
      return values_of({});
    case Reduction::micro:
      return values_of({.images = true, .classes = true});
    case Reduction::micro_imagewise:
      return {mean(values_of({.classes = true}))};
    case Reduction::macro:
    case Reduction::weighted:
      return {over_classes(values_of({.images = true}), normalised(stats, options), total)};
    case Reduction::macro_imagewise:
    case Reduction::weighted_imagewise:
      return {over_classes(over_images(values_of({}), static_cast<std::size_t>(stats.classes)),
                           normalised(stats, options), false)};
  }
  return {};
}

}  // namespace fjord
