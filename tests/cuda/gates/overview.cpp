// The compiled kernels as a table for people (docs/gpu-plans.md).
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/cuda/gates/promises.h"

namespace fjord {

namespace {

struct Range {
  int least = 0, most = 0;
  void add(int value) {
    least = most == 0 ? value : std::min(least, value);
    most = std::max(most, value);
  }
  std::string text() const {
    return least == most ? fmt::format("{}", most) : fmt::format("{}-{}", least, most);
  }
};

struct Cell {
  Range registers;
  int occupancy_percent = 100;
};

struct Row {
  std::set<std::string> forms;
  std::map<int, Cell> architectures;
  Range threads;
  std::size_t shared = 0;
  int spills = 0;
};

std::map<std::string, Row> rows_of(const std::vector<KernelCode>& kernels,
                                   const std::vector<Promise>& promises) {
  std::map<std::string, Row> rows;
  for (const KernelCode& kernel : kernels) {
    const Promise* promise = promise_of(kernel, promises);
    if (!promise || promise->foreign) continue;
    // Nothing launches the tensor-core kernels on cards that have no such instructions.
    if (promise->tensor && kernel.architecture < 80) continue;
    Row& row = rows[kernel.name.substr(0, kernel.name.find('<'))];
    row.forms.insert(kernel.name);
    row.threads.add(threads_of(kernel, *promise));
    row.shared = std::max(row.shared, kernel.shared + promise->shared);
    row.spills += kernel.stack + kernel.counts.local;
    Cell& cell = row.architectures[kernel.architecture];
    cell.registers.add(kernel.registers);
    cell.occupancy_percent = std::min(cell.occupancy_percent,
                                      static_cast<int>(100 * occupancy_of(kernel, *promise) + 0.5));
  }
  return rows;
}

}  // namespace

std::string overview(const std::vector<KernelCode>& kernels, const std::vector<Promise>& promises) {
  std::set<int> architectures;
  for (const KernelCode& kernel : kernels) architectures.insert(kernel.architecture);
  std::string table = "| kernel | forms | threads | shared bytes | spills |",
              rule = "|---|---|---|---|---|";
  for (const int architecture : architectures) {
    table += fmt::format(" sm_{} |", architecture);
    rule += "---|";
  }
  table += "\n" + rule + "\n";
  for (const auto& [name, row] : rows_of(kernels, promises)) {
    table += fmt::format("| `{}` | {} | {} | {} | {} |", name, row.forms.size(), row.threads.text(),
                         row.shared, row.spills);
    for (const int architecture : architectures) {
      const auto cell = row.architectures.find(architecture);
      table += cell == row.architectures.end()
                   ? " |"
                   : fmt::format(" {}, {} % |", cell->second.registers.text(),
                                 cell->second.occupancy_percent);
    }
    table += "\n";
  }
  return table;
}

}  // namespace fjord
