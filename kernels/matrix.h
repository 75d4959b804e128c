// Products and transpositions of the matrices that features are: a row a pixel, a column a channel.
#pragma once

#include "kernels/kernel.h"

namespace fjord {

/// Sizes of y = a * b, one product an image: rows x inner by inner x columns. A transposed factor
/// lies in memory as its transpose.
struct MatrixProduct {
  std::int64_t rows = 1, columns = 1, inner = 1;
  bool transpose_a = false, transpose_b = false;
};
inline Kernel<In, In, Out, MatrixProduct> matrix_product{"matrix_product"};

/// x, an image a matrix of so many rows -> y, the transposed matrices.
inline Kernel<In, Out, std::int64_t> matrix_transpose{"matrix_transpose"};

}  // namespace fjord
