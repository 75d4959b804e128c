// Prints the table of goldens.
#include "tests/golden/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace fjord::golden {

std::string to_string(const Row& row) {
  return fmt::format("{:<58} | {:<54} | {:>16} | {:>8.1e} | {:>7.0e} | {}", row.name, row.figure,
                     row.golden, row.error, row.bound, row.ok() ? "ok" : "FAILS");
}

bool print(const std::vector<Row>& rows) {
  for (const Row& row : rows) fmt::print("{}\n", to_string(row));
  return std::ranges::all_of(rows, &Row::ok);
}

}  // namespace fjord::golden
