// A convolution of 1x1 windows as one product of matrices.
#pragma once

#include <optional>

#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

/// A dense matrix as BLAS reads it: column by column. A pixel's channels are a column.
struct BlasMatrix {
  std::int64_t rows = 0, columns = 0;
  std::int64_t leading() const { return rows; }  // values from one column to the next
  bool operator==(const BlasMatrix&) const = default;
};

/// result = op(a) * op(b), where op is the transposition or nothing; the matrices are as they lie
/// in memory.
struct ConvProduct {
  BlasMatrix a, b, result;
  bool transpose_a = false, transpose_b = false;
  bool a_is_first = false;  // of ConvOperands; b is the other

  const void* a_of(const ConvOperands& operands) const {
    return a_is_first ? operands.first : operands.second;
  }
  const void* b_of(const ConvOperands& operands) const {
    return a_is_first ? operands.second : operands.first;
  }
};

/// Nothing where a window has more than its own pixel, pixels are left out or added, or channels
/// are grouped; and where the result ends in more than its old values.
std::optional<ConvProduct> product_of(const ConvProblem& problem);

}  // namespace fjord::cuda
