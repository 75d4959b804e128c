// Convolutions that are products: how they are described to cuBLASLt, which needs no card, and what
// it makes of them on one.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include "kernels/cuda/cublas_library.h"
#include "kernels/cuda/cublas_product.h"
#include "tests/cuda/plans/product_repeats.h"

namespace fjord::cuda {

namespace {

constexpr ConvPass kPasses[]{ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter};

ConvProblem problem_of(ConvPass pass, std::int64_t inputs, std::int64_t outputs, DType dtype,
                       ConvMath math = ConvMath::exact) {
  return {.pass = pass,
          .image = {2, 20, 24, inputs},
          .filter = {outputs, 1, 1, inputs},
          .output = {2, 20, 24, outputs},
          .conv = {.kernel = 1, .padding = 0},
          .dtype = dtype,
          .math = math};
}

template <class T>
T attribute(const CublasMatrix& matrix, cublasLtMatrixLayoutAttribute_t which) {
  T value{};
  check_cublas(cublasLtMatrixLayoutGetAttribute(matrix.get(), which, &value, sizeof value, nullptr),
               "reading a layout");
  return value;
}

template <class T>
T attribute(const CublasOperation& operation, cublasLtMatmulDescAttributes_t which) {
  T value{};
  check_cublas(
      cublasLtMatmulDescGetAttribute(operation.get(), which, &value, sizeof value, nullptr),
      "reading an operation");
  return value;
}

void check_matrix(const CublasMatrix& matrix, const BlasMatrix& wanted, cudaDataType_t type) {
  CHECK(attribute<std::uint64_t>(matrix, CUBLASLT_MATRIX_LAYOUT_ROWS) == wanted.rows);
  CHECK(attribute<std::uint64_t>(matrix, CUBLASLT_MATRIX_LAYOUT_COLS) == wanted.columns);
  CHECK(attribute<std::int64_t>(matrix, CUBLASLT_MATRIX_LAYOUT_LD) == wanted.leading());
  CHECK(attribute<std::uint32_t>(matrix, CUBLASLT_MATRIX_LAYOUT_TYPE) ==
        static_cast<std::uint32_t>(type));
  CHECK(attribute<std::int32_t>(matrix, CUBLASLT_MATRIX_LAYOUT_ORDER) == CUBLASLT_ORDER_COL);
}

struct Kind {
  DType dtype;
  ConvMath math;
  cudaDataType_t type;
  cublasComputeType_t compute;
};

constexpr Kind kKinds[]{{DType::f32, ConvMath::exact, CUDA_R_32F, CUBLAS_COMPUTE_32F_PEDANTIC},
                        {DType::f32, ConvMath::tf32, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32},
                        {DType::bf16, ConvMath::exact, CUDA_R_16BF, CUBLAS_COMPUTE_32F},
                        {DType::f16, ConvMath::exact, CUDA_R_16F, CUBLAS_COMPUTE_32F}};

bool card_is_there() {
  int cards = 0;
  return cudaGetDeviceCount(&cards) == cudaSuccess && cards > 0;
}

}  // namespace

TEST_CASE("a product is described to cuBLASLt with its sizes, order, types and exactness") {
  for (const ConvPass pass : kPasses)
    for (const Kind& kind : kKinds) {
      const ConvProblem problem = problem_of(pass, 48, 32, kind.dtype, kind.math);
      CAPTURE(to_string(problem));
      const auto product = product_of(problem);
      REQUIRE(product);
      const CublasProduct described(problem, *product);
      check_matrix(described.a, product->a, kind.type);
      check_matrix(described.b, product->b, kind.type);
      check_matrix(described.result, product->result, kind.type);
      const auto& operation = described.operation;
      CHECK(attribute<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) == kind.compute);
      CHECK(attribute<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_SCALE_TYPE) == CUDA_R_32F);
      CHECK(attribute<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSA) ==
            (product->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N));
      CHECK(attribute<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSB) ==
            (product->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N));
    }
}

TEST_CASE("cuBLASLt is asked for no more workspace than allowed, and no reduction but in f32") {
  const CublasPreference preference = cublas_preference();
  const auto read = [&]<class T>(cublasLtMatmulPreferenceAttributes_t which, T value) {
    check_cublas(cublasLtMatmulPreferenceGetAttribute(preference.get(), which, &value, sizeof value,
                                                      nullptr),
                 "reading a preference");
    return value;
  };
  CHECK(read(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{}) == kConvWorkspaceBytes);
  CHECK(read(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{}) ==
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  CHECK(read(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::uint32_t{}) == 16);
}

TEST_CASE("without a card cuBLASLt suggests nothing, and a choice of another time gives no plan") {
  const ConvProblem problem = problem_of(ConvPass::forward, 64, 64, DType::bf16);
  CHECK_FALSE(product_plan(problem, {.version = 1}));
  if (card_is_there()) return;
  CHECK(product_candidates(problem).empty());
  CHECK_FALSE(product_plan(problem, {.version = cublasLtGetVersion()}));
}

TEST_CASE("products have the same bits in 20 runs on a card, and are right") {
  if (!card_is_there()) {
    MESSAGE("SKIPPED: no card");
    return;
  }
  for (const ConvPass pass : kPasses)
    for (const Kind& kind : kKinds)
      for (const bool add : {false, true}) {
        ConvProblem problem = problem_of(pass, 64, 128, kind.dtype, kind.math);
        problem.epilogue.add = add;
        CHECK(faults_in_products(problem, 20) == std::vector<std::string>{});
        for (const ConvCandidate& candidate : product_candidates(problem))
          CHECK(product_plan(problem, std::get<AlgorithmChoice>(candidate.choice)));
      }
}

}  // namespace fjord::cuda
