// Matrix products and transpositions on the CPU, shared out by rows.
#include "kernels/matrix.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

// A row of y in doubles: what it is made of may be as long as an image has pixels.
void product_row(const float* a, std::int64_t step, const float* b, const MatrixProduct& m,
                 std::vector<double>& row) {
  std::ranges::fill(row, 0.0);
  for (std::int64_t k = 0; k < m.inner; ++k) {
    const double factor = static_cast<double>(a[k * step]);
    if (m.transpose_b)
      for (std::int64_t j = 0; j < m.columns; ++j)
        row[static_cast<std::size_t>(j)] += factor * static_cast<double>(b[j * m.inner + k]);
    else
      for (std::int64_t j = 0; j < m.columns; ++j)
        row[static_cast<std::size_t>(j)] += factor * static_cast<double>(b[k * m.columns + j]);
  }
}

void product(In a, In b, Out y, MatrixProduct m, Stream&) {
  parallel_for(y.shape().n * m.rows, [&](std::int64_t i) {
    const std::int64_t image = i / m.rows, r = i % m.rows;
    const float* left = a.as<float>() + image * m.rows * m.inner;
    std::vector<double> row(static_cast<std::size_t>(m.columns));
    product_row(m.transpose_a ? left + r : left + r * m.inner, m.transpose_a ? m.rows : 1,
                b.as<float>() + image * m.inner * m.columns, m, row);
    float* target = y.as<float>() + i * m.columns;
    for (std::int64_t j = 0; j < m.columns; ++j) {
      const double before = y.write == Write::add ? static_cast<double>(target[j]) : 0.0;
      target[j] = static_cast<float>(before + row[static_cast<std::size_t>(j)]);
    }
  });
}

void transpose(In x, Out y, std::int64_t rows, Stream&) {
  const std::int64_t size = x.shape().count() / x.shape().n, columns = size / rows;
  parallel_for(x.shape().n * columns, [&](std::int64_t i) {
    const float* from = x.as<float>() + i / columns * size + i % columns;
    float* target = y.as<float>() + i * rows;
    for (std::int64_t r = 0; r < rows; ++r)
      target[r] = (y.write == Write::add ? target[r] : 0.0f) + from[r * columns];
  });
}

}  // namespace

void fill_matrix_kernels() {
  matrix_product.cpu = product;
  matrix_transpose.cpu = transpose;
}

}  // namespace fjord
