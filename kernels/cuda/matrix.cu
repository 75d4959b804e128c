// Matrix products in tiles, and transpositions.
#include "kernels/matrix.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

constexpr int kEdge = 16;  // of a block's tile, a thread a value

template <class T>
__global__ void __launch_bounds__(kThreads)
    product_tiles(MatrixProduct m, const T* __restrict__ a, const T* __restrict__ b,
                  T* __restrict__ y, bool add) {
  float* const left = dynamic_shared<float>();
  float* const right = left + kEdge * kEdge;
  const int row = static_cast<int>(threadIdx.x) / kEdge,
            column = static_cast<int>(threadIdx.x) % kEdge;
  const std::int64_t r = std::int64_t{blockIdx.y} * kEdge + row;
  const std::int64_t c = std::int64_t{blockIdx.x} * kEdge + column;
  const T* const as = a + blockIdx.z * m.rows * m.inner;
  const T* const bs = b + blockIdx.z * m.inner * m.columns;
  double sum = 0;
  for (std::int64_t start = 0; start < m.inner; start += kEdge) {
    const std::int64_t ka = start + column, kb = start + row;
    left[threadIdx.x] = r < m.rows && ka < m.inner
                            ? to_float(as[m.transpose_a ? ka * m.rows + r : r * m.inner + ka])
                            : 0.0f;
    right[threadIdx.x] = c < m.columns && kb < m.inner
                             ? to_float(bs[m.transpose_b ? c * m.inner + kb : kb * m.columns + c])
                             : 0.0f;
    __syncthreads();
    float part = 0;
#pragma unroll
    for (int k = 0; k < kEdge; ++k) part += left[row * kEdge + k] * right[k * kEdge + column];
    sum += static_cast<double>(part);
    __syncthreads();
  }
  if (r >= m.rows || c >= m.columns) return;
  write_floats<1>(y + (blockIdx.z * m.rows + r) * m.columns + c,
                  Floats<1>{{static_cast<float>(sum)}}, add);
}

void product(In a, In b, Out y, MatrixProduct m, Stream& stream) {
  with_type(common_type("matrix_product", a, b, y), [&]<class T>() {
    const dim3 grid(static_cast<unsigned>(divide_up(m.columns, kEdge)),
                    static_cast<unsigned>(divide_up(m.rows, kEdge)),
                    static_cast<unsigned>(y.shape().n));
    launch(product_tiles<T>, grid, kThreads, 2 * kEdge * kEdge * sizeof(float), stream, m,
           a.as<T>(), b.as<T>(), y.as<T>(), y.write == Write::add);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    transposed_values(std::int64_t count, std::int64_t rows, std::int64_t columns,
                      const T* __restrict__ x, T* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t at = i / rows;  // of all columns of all images
    const std::int64_t from = (at / columns * rows + i % rows) * columns + at % columns;
    write_floats<1>(y + i, Floats<1>{{to_float(x[from])}}, add);
  }
}

void transpose(In x, Out y, std::int64_t rows, Stream& stream) {
  with_type(common_type("matrix_transpose", x, y), [&]<class T>() {
    const std::int64_t count = x.shape().count();
    launch(transposed_values<T>, blocks_for(count), kThreads, 0, stream, count, rows,
           count / x.shape().n / rows, x.as<T>(), y.as<T>(), y.write == Write::add);
  });
}

}  // namespace

void fill_matrix() {
  matrix_product.cuda = product;
  matrix_transpose.cuda = transpose;
}

}  // namespace fjord::cuda
