// Plans as a table for people: one row a layer, one column a pass (docs/gpu-plans.md).
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fjord {

class PlanTable {
 public:
  enum Pass : std::size_t { forward, backward_data, backward_filter };

  /// Notes the plan of a layer's pass on the next card: what runs it, and bytes of scratch. A name
  /// "library: engine 45 k2=3" becomes 45; "transposed 4x4: engine 70, 3x3: engine 45" 70 + 45.
  void add(const std::string& layer, Pass pass, std::string_view implementation,
           std::size_t scratch_bytes);

  /// Markdown. Engines of the cards in the order that they were walked in; one where all agree.
  std::string text() const;

 private:
  struct Cell {
    std::vector<std::string> engines;  // one a card
    std::size_t scratch_bytes = 0;     // the most
  };
  struct Row {
    std::string layer;
    std::array<Cell, 3> passes;
  };
  static std::string text_of(const Cell& cell);

  std::vector<Row> rows_;
};

}  // namespace fjord
