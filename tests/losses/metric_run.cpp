// Reads the names of smp.metrics' figures.
#include "tests/losses/metric_run.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/smp_metrics.h"

namespace fjord::golden {
namespace {

const std::map<std::string, Score> kScores{
    {"fbeta_score", Score::fbeta},
    {"f1_score", Score::fbeta},
    {"iou_score", Score::iou},
    {"accuracy", Score::accuracy},
    {"recall", Score::recall},
    {"specificity", Score::specificity},
    {"balanced_accuracy", Score::balanced_accuracy},
    {"precision", Score::precision},
    {"negative_predictive_value", Score::negative_predictive_value},
    {"false_negative_rate", Score::false_negative_rate},
    {"false_positive_rate", Score::false_positive_rate},
    {"false_discovery_rate", Score::false_discovery_rate},
    {"false_omission_rate", Score::false_omission_rate},
    {"positive_likelihood_ratio", Score::positive_likelihood_ratio},
    {"negative_likelihood_ratio", Score::negative_likelihood_ratio}};

const std::map<std::string, Reduction> kReductions{
    {"micro", Reduction::micro},
    {"macro", Reduction::macro},
    {"weighted", Reduction::weighted},
    {"micro-imagewise", Reduction::micro_imagewise},
    {"macro-imagewise", Reduction::macro_imagewise},
    {"weighted-imagewise", Reduction::weighted_imagewise},
    {"None", Reduction::none}};

}  // namespace

const std::vector<MetricTable>& metric_tables() {
  static const std::vector<MetricTable> tables{
#include "tests/losses/golden_metrics.inc"
  };
  return tables;
}

std::vector<double> metric(const MetricTable& table, const std::string& name) {
  const std::size_t first = name.find('|'), second = name.find('|', first + 1);
  const std::string reduction = name.substr(first + 1, second - first - 1);
  const std::string extra = second == std::string::npos ? "" : name.substr(second + 1);
  ScoreOptions options{.reduction = kReductions.at(reduction)};
  if (reduction.starts_with("weighted") || extra == "cw")
    for (int c = 1; c <= table.classes; ++c) options.class_weights.push_back(c);
  if (extra.starts_with("zd")) options.zero_division = 0;
  if (name.starts_with("fbeta")) options.beta = 2;
  const PixelStats stats{table.images,    table.classes,   table.counts[0],
                         table.counts[1], table.counts[2], table.counts[3]};
  return score(stats, kScores.at(name.substr(0, first)), options);
}

double metric_error(double value, double golden) {
  if (std::isnan(golden)) return std::isnan(value) ? 0 : INFINITY;
  if (std::isinf(golden)) return value == golden ? 0 : INFINITY;
  return std::fabs(value - golden) / std::max(1.0, std::fabs(golden));
}

}  // namespace fjord::golden
