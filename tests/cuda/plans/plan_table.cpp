// Plans as a table for people: one row a layer, one column a pass (docs/gpu-plans.md).
#include "tests/cuda/plans/plan_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

namespace fjord {

namespace {

std::string engines_in(std::string_view implementation) {
  if (implementation.starts_with("tail")) return "own";
  static const std::regex number(R"(engine (\d+))");
  const std::string text(implementation);
  std::vector<std::string> engines;
  for (std::sregex_iterator i(text.begin(), text.end(), number), end; i != end; ++i)
    engines.push_back((*i)[1]);
  return fmt::format("{}", fmt::join(engines, " + "));
}

}  // namespace

void PlanTable::add(const std::string& layer, Pass pass, std::string_view implementation,
                    std::size_t scratch_bytes) {
  auto row = std::find_if(rows_.begin(), rows_.end(),
                          [&](const Row& known) { return known.layer == layer; });
  if (row == rows_.end()) row = rows_.insert(row, {layer, {}});
  Cell& cell = row->passes[pass];
  cell.engines.push_back(engines_in(implementation));
  cell.scratch_bytes = std::max(cell.scratch_bytes, scratch_bytes);
}

std::string PlanTable::text_of(const Cell& cell) {
  if (cell.engines.empty()) return "none";
  const bool same = std::all_of(cell.engines.begin(), cell.engines.end(),
                                [&](const std::string& one) { return one == cell.engines[0]; });
  std::string text = same ? cell.engines.at(0) : fmt::format("{}", fmt::join(cell.engines, " / "));
  if (cell.scratch_bytes >= 50'000)  // 0.1 MB
    text += fmt::format("; {:.1f} MB", static_cast<double>(cell.scratch_bytes) * 1e-6);
  return text;
}

std::string PlanTable::text() const {
  std::string text = "| layer | forward | backward-data | backward-filter |\n|---|---|---|---|\n";
  for (const Row& row : rows_) {
    text += fmt::format("| {} |", row.layer);
    for (const Cell& cell : row.passes) text += fmt::format(" {} |", text_of(cell));
    text += "\n";
  }
  return text;
}

}  // namespace fjord
