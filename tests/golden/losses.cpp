// The goldens of losses as rows of the table.
#include <fmt/format.h>

#include <cmath>

#include "tests/golden/goldens.h"
#include "tests/losses/loss_run.h"

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

}  // namespace fjord::golden
