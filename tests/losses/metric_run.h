// smp.metrics' figures and what the engine makes of their counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fjord::golden {

struct MetricValue {
  const char* name;  // "iou_score|macro-imagewise"
  std::vector<double> values;
};
struct MetricTable {
  const char* name;
  int images, classes;
  std::vector<std::vector<std::int64_t>> counts;  // tp, fp, fn, tn
  std::vector<MetricValue> values;
};

/// The tables of golden_metrics.inc.
const std::vector<MetricTable>& metric_tables();

/// The engine's values for a figure's name.
std::vector<double> metric(const MetricTable& table, const std::string& name);

/// Relative above 1, absolute below; infinite unless NaN and infinities agree.
double metric_error(double value, double golden);

}  // namespace fjord::golden
