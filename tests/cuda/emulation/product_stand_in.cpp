// Stands in for cuBLASLt behind kernels/cuda/cublas_library.h: naive loops over matrices as BLAS
// describes them. Products and sums in f32, rounded once. It asks for a workspace that it leaves
// full of NaN.
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/cuda/conv_product.h"
#include "kernels/cuda/cublas_library.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/stand_in_values.h"

namespace fjord::cuda {

namespace {

constexpr std::size_t kWorkspace = 500;

struct Factor {
  const void* data;
  BlasMatrix matrix;
  bool transposed;

  std::int64_t rows() const { return transposed ? matrix.columns : matrix.rows; }
  std::int64_t columns() const { return transposed ? matrix.rows : matrix.columns; }
  float at(DType type, std::int64_t row, std::int64_t column) const {
    if (transposed) std::swap(row, column);
    return value_at(data, type, static_cast<std::size_t>(column * matrix.leading() + row));
  }
};

void multiply(const Factor& a, const Factor& b, const BlasMatrix& to, const ConvOperands& operands,
              DType type, bool add) {
  for (std::int64_t column = 0; column < to.columns; ++column)
    for (std::int64_t row = 0; row < to.rows; ++row) {
      const auto i = static_cast<std::size_t>(column * to.leading() + row);
      float sum = 0;
      for (std::int64_t k = 0; k < a.columns(); ++k)
        sum += a.at(type, row, k) * b.at(type, k, column);
      put(operands.result, type, i, add ? sum + value_at(operands.result, type, i) : sum);
    }
  std::memset(operands.workspace, 0xFF, kWorkspace);
}

class ProductStandIn : public ConvPlan {
 public:
  ProductStandIn(const ConvProblem& problem, const ConvProduct& product)
      : problem_(problem), product_(product) {
    engine = "stand-in for products";
    workspace_bytes = kWorkspace;
    tensor_cores = true;
  }

  void run(const ConvOperands& operands, Stream& stream) const override {
    const Factor a{product_.a_of(operands), product_.a, product_.transpose_a},
        b{product_.b_of(operands), product_.b, product_.transpose_b};
    const bool fit = a.columns() == b.rows() && a.rows() == product_.result.rows &&
                     b.columns() == product_.result.columns;
    require(fit, "the matrices do not fit each other");
    require(holds(a.data, a.matrix) && holds(b.data, b.matrix) &&
                holds(operands.result, product_.result) &&
                emulation::memory::holds(operands.workspace, kWorkspace),
            "an operand is not memory of the card, as long as it must be");
    emulation::queue_on(static_cast<cudaStream_t>(stream.native), to_string(problem_),
                        [=, to = product_.result, type = problem_.dtype,
                         add = problem_.epilogue.add] { multiply(a, b, to, operands, type, add); });
  }

 private:
  bool holds(const void* data, const BlasMatrix& matrix) const {
    const auto count = static_cast<std::size_t>(matrix.leading() * matrix.columns);
    return emulation::memory::holds(data, count * size_of(problem_.dtype));
  }
  void require(bool truth, const char* otherwise) const {
    if (!truth)
      throw Error(ExitCode::bug, "product", to_string(problem_), otherwise,
                  "look at product_of() and at who passed the operands");
  }

  ConvProblem problem_;
  ConvProduct product_;
};

}  // namespace

std::vector<ConvCandidate> product_candidates(const ConvProblem& problem) {
  const std::optional<ConvProduct> product = product_of(problem);
  if (!product) return {};
  return {{std::make_shared<const ProductStandIn>(problem, *product), AlgorithmChoice{}}};
}

}  // namespace fjord::cuda
