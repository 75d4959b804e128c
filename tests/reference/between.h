// What lies between two operations that run one after the other.
#pragma once

#include <vector>

#include "kernels/view.h"

namespace fjord::reference {

/// A tensor between two operations.
struct Between {
  explicit Between(Shape shape)
      : values(static_cast<std::size_t>(shape.count())),
        buffer{"between", shape, DType::f64, values.data()} {}

  std::vector<double> values;
  Buffer buffer;
};

}  // namespace fjord::reference
