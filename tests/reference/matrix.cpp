// Matrix products and transpositions in double.
#include "kernels/matrix.h"

#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

void product(In a, In b, Out y, MatrixProduct m, Stream&) {
  for (std::int64_t n = 0; n < y.shape().n; ++n)
    for (std::int64_t r = 0; r < m.rows; ++r)
      for (std::int64_t c = 0; c < m.columns; ++c) {
        double sum = 0;
        for (std::int64_t k = 0; k < m.inner; ++k) {
          const std::int64_t i = m.transpose_a ? k * m.rows + r : r * m.inner + k;
          const std::int64_t j = m.transpose_b ? c * m.inner + k : k * m.columns + c;
          sum += a.as<double>()[n * m.rows * m.inner + i] *
                 b.as<double>()[n * m.inner * m.columns + j];
        }
        put(y, (n * m.rows + r) * m.columns + c, sum);
      }
}

void transpose(In x, Out y, std::int64_t rows, Stream&) {
  const std::int64_t size = x.shape().count() / x.shape().n, columns = size / rows;
  for (std::int64_t n = 0; n < x.shape().n; ++n)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        put(y, n * size + c * rows + r, x.as<double>()[n * size + r * columns + c]);
}

}  // namespace

void fill_matrix() {
  matrix_product.reference = product;
  matrix_transpose.reference = transpose;
}

}  // namespace fjord::reference
