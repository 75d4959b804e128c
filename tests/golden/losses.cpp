// The goldens of losses as rows of the table.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/golden/goldens.h"
#include "tests/losses/loss_run.h"
#include "tests/losses/metric_run.h"

namespace fjord::golden {

std::vector<Row> loss_rows(On on) {
  std::vector<Row> rows;
  for (const LossEntry& entry : loss_entries()) {
    const LossInput input = loss_input(entry.logits, entry.label);
    const LossRun run =
        run_loss(parse_loss(entry.expression), input.shape, input.logits, input.label, on.backend);
    const Figures gradient = figures(run.dlogits.data(), input.shape);
    const std::string name = fmt::format("{} {}", entry.name, to_string(on.backend));
    rows.push_back({name, "loss", fmt::format("{:.9g}", entry.value),
                    std::fabs(run.value - entry.value) / std::fabs(entry.value), 1e-5});
    rows.push_back({name, "gradient l2, mean, values", fmt::format("{:.9g}", entry.gradient.l2),
                    distance(gradient, entry.gradient, input.shape.count()), 1e-5});
  }
  return rows;
}

std::vector<Row> metric_rows() {
  std::vector<Row> rows;
  for (const MetricTable& table : metric_tables()) {
    double worst = 0;
    std::size_t figures = 0;
    for (const MetricValue& value : table.values) {
      const std::vector<double> found = metric(table, value.name);
      for (std::size_t i = 0; i < value.values.size(); ++i)
        worst = worse(worst, metric_error(found.at(i), value.values[i]));
      figures += value.values.size();
    }
    rows.push_back({fmt::format("smp.metrics {}", table.name), "15 scores, 7 reductions: worst",
                    fmt::format("{} figures", figures), worst, 1e-6});
  }
  return rows;
}

}  // namespace fjord::golden
