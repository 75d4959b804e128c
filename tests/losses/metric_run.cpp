// Reads the names of smp.metrics' figures.
#include "tests/losses/metric_run.h"

#include <algorithm>
#include <cmath>

#include "engine/smp_metrics.h"
#include "kernels/error.h"

namespace fjord::golden {
namespace {

template <class Named>
const Named& named(std::span<const Named> all, const std::string& name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Named& one) { return one.name == name; });
  check(found != all.end(), "metric", "there is no {}", name);
  return *found;
}

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
  const std::string own = reduction == "None" ? "none" : reduction;
  ScoreOptions options{.reduction = named(smp_reductions(), own).reduction};
  if (reduction.starts_with("weighted") || extra == "cw")
    for (int c = 1; c <= table.classes; ++c) options.class_weights.push_back(c);
  if (extra.starts_with("zd")) options.zero_division = 0;
  if (name.starts_with("fbeta")) options.beta = 2;
  const PixelStats stats{table.images,    table.classes,   table.counts[0],
                         table.counts[1], table.counts[2], table.counts[3]};
  return score(stats, named(smp_scores(), name.substr(0, first)).score, options);
}

double metric_error(double value, double golden) {
  if (std::isnan(golden)) return std::isnan(value) ? 0 : INFINITY;
  if (std::isinf(golden)) return value == golden ? 0 : INFINITY;
  return std::fabs(value - golden) / std::max(1.0, std::fabs(golden));
}

}  // namespace fjord::golden
