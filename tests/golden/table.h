// The table of goldens: one row a figure, what was found beside it and how near it has to be.
#pragma once

#include <string>
#include <vector>

namespace fjord::golden {

struct Row {
  std::string name;    // "Unet/resnet34"
  std::string figure;  // "logits l2"
  std::string golden;  // the published value, or how many tensors the row stands for
  double error = 0;    // the worst, in the figure's own measure
  double bound = 0;

  bool ok() const { return error <= bound; }  // false for NaN
};

/// "name | figure | golden | error | bound | ok".
std::string to_string(const Row& row);

/// A program's table on stdout; true when every row is within its bound.
bool print(const std::vector<Row>& rows);

}  // namespace fjord::golden
