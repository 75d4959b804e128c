// Matrix products in tiles, and transpositions.
#include "kernels/matrix.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

constexpr int kEdge = 16;  // of a block's tile, a thread a value
// Rows of a tile in shared memory are one longer: walking down a column meets other banks.
constexpr int kPitch = kEdge + 1;
constexpr std::size_t kProductBytes = 2 * kEdge * kPitch * sizeof(float);

// This thread's value of the tile that begins at (top, left) of a matrix, 0 outside of it.
// Neighbouring threads read neighbours in memory, whichever way the matrix lies.
template <class T>
__device__ void load_tile(float* tile, const T* matrix, bool transposed, std::int64_t top,
                          std::int64_t left, std::int64_t rows, std::int64_t columns) {
  const int slow = static_cast<int>(threadIdx.x) / kEdge,
            fast = static_cast<int>(threadIdx.x) % kEdge;
  const int row = transposed ? fast : slow, column = transposed ? slow : fast;
  const std::int64_t r = top + row, c = left + column;
  tile[row * kPitch + column] = r < rows && c < columns
                                    ? to_float(matrix[transposed ? c * rows + r : r * columns + c])
                                    : 0.0f;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    product_tiles(MatrixProduct m, const T* __restrict__ a, const T* __restrict__ b,
                  T* __restrict__ y, bool add) {
  float* const left = dynamic_shared<float>();
  float* const right = left + kEdge * kPitch;
  const int row = static_cast<int>(threadIdx.x) / kEdge,
            column = static_cast<int>(threadIdx.x) % kEdge;
  const std::int64_t top = std::int64_t{blockIdx.y} * kEdge;
  const std::int64_t first = std::int64_t{blockIdx.x} * kEdge;
  const T* const as = a + blockIdx.z * m.rows * m.inner;
  const T* const bs = b + blockIdx.z * m.inner * m.columns;
  double sum = 0;
  for (std::int64_t start = 0; start < m.inner; start += kEdge) {
    load_tile(left, as, m.transpose_a, top, start, m.rows, m.inner);
    load_tile(right, bs, m.transpose_b, start, first, m.inner, m.columns);
    __syncthreads();
    float part = 0;
#pragma unroll
    for (int k = 0; k < kEdge; ++k) part += left[row * kPitch + k] * right[k * kPitch + column];
    sum += static_cast<double>(part);
    __syncthreads();
  }
  const std::int64_t r = top + row, c = first + column;
  if (r >= m.rows || c >= m.columns) return;
  write_floats<1>(y + (blockIdx.z * m.rows + r) * m.columns + c,
                  Floats<1>{{static_cast<float>(sum)}}, add);
}

void product(In a, In b, Out y, MatrixProduct m, Stream& stream) {
  with_type(common_type("matrix_product", a, b, y), [&]<class T>() {
    const dim3 grid(static_cast<unsigned>(divide_up(m.columns, kEdge)),
                    static_cast<unsigned>(divide_up(m.rows, kEdge)),
                    static_cast<unsigned>(y.shape().n));
    launch(product_tiles<T>, grid, kThreads, kProductBytes, stream, m, a.as<T>(), b.as<T>(),
           y.as<T>(), y.write == Write::add);
  });
}

// A tile of a matrix that is transposed: both its rows and its columns are read and written 32
// values at a time.
constexpr int kSquare = 32, kSquarePitch = kSquare + 1;
constexpr std::size_t kSquareBytes = kSquare * kSquarePitch * sizeof(float);

template <class T>
__global__ void __launch_bounds__(kThreads)
    transposed_values(std::int64_t rows, std::int64_t columns, const T* __restrict__ x,
                      T* __restrict__ y, bool add) {
  float* const tile = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % kSquare;
  const int begin = static_cast<int>(threadIdx.x) / kSquare;
  constexpr int step = kThreads / kSquare;
  const std::int64_t top = std::int64_t{blockIdx.x} * kSquare;
  const std::int64_t left = std::int64_t{blockIdx.y} * kSquare;
  const std::int64_t image = blockIdx.z * rows * columns;
  for (int i = begin; i < kSquare; i += step)
    if (top + i < rows && left + lane < columns)
      tile[i * kSquarePitch + lane] = to_float(x[image + (top + i) * columns + left + lane]);
  __syncthreads();
  for (int i = begin; i < kSquare; i += step)
    if (left + i < columns && top + lane < rows)
      write_floats<1>(y + image + (left + i) * rows + top + lane,
                      Floats<1>{{tile[lane * kSquarePitch + i]}}, add);
}

void transpose(In x, Out y, std::int64_t rows, Stream& stream) {
  with_type(common_type("matrix_transpose", x, y), [&]<class T>() {
    const std::int64_t images = x.shape().n, columns = x.shape().count() / images / rows;
    const dim3 grid(static_cast<unsigned>(divide_up(rows, kSquare)),
                    static_cast<unsigned>(divide_up(columns, kSquare)),
                    static_cast<unsigned>(images));
    launch(transposed_values<T>, grid, kThreads, kSquareBytes, stream, rows, columns, x.as<T>(),
           y.as<T>(), y.write == Write::add);
  });
}

}  // namespace

void fill_matrix() {
  matrix_product.cuda = product;
  matrix_transpose.cuda = transpose;
}

}  // namespace fjord::cuda
