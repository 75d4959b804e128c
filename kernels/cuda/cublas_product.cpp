// A product of matrices as cuBLASLt describes it: owned descriptors, failing with its own words.
#include "kernels/cuda/cublas_product.h"

#include "kernels/error.h"

namespace fjord::cuda {

namespace {

cudaDataType_t data_type(DType type) {
  return type == DType::bf16 ? CUDA_R_16BF : type == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

cublasComputeType_t compute_type(const ConvProblem& problem) {
  if (problem.dtype != DType::f32) return CUBLAS_COMPUTE_32F;
  return problem.math == ConvMath::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                        : CUBLAS_COMPUTE_32F_PEDANTIC;
}

CublasMatrix layout(const BlasMatrix& matrix, DType type) {
  cublasLtMatrixLayout_t made = nullptr;
  check_cublas(
      cublas().MatrixLayoutCreate(&made, data_type(type), static_cast<std::uint64_t>(matrix.rows),
                                  static_cast<std::uint64_t>(matrix.columns), matrix.leading()),
      "cuBLASLt matrix");
  return CublasMatrix(made);
}

void transpose(const CublasOperation& operation, cublasLtMatmulDescAttributes_t which, bool yes) {
  const cublasOperation_t value = yes ? CUBLAS_OP_T : CUBLAS_OP_N;
  check_cublas(cublas().MatmulDescSetAttribute(operation.get(), which, &value, sizeof value),
               "cuBLASLt transposition");
}

template <class T>
void prefer(const CublasPreference& preference, cublasLtMatmulPreferenceAttributes_t which,
            T value) {
  check_cublas(cublas().MatmulPreferenceSetAttribute(preference.get(), which, &value, sizeof value),
               "cuBLASLt preference");
}

}  // namespace

void check_cublas(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::device, "cublas", std::string(what), cublas().GetStatusString(status),
              "report this with the card and cuBLAS's version, or leave FJORD_CUDNN_TUNE out");
}

CublasProduct::CublasProduct(const ConvProblem& problem, const ConvProduct& product)
    : a(layout(product.a, problem.dtype)),
      b(layout(product.b, problem.dtype)),
      result(layout(product.result, problem.dtype)) {
  cublasLtMatmulDesc_t made = nullptr;
  check_cublas(cublas().MatmulDescCreate(&made, compute_type(problem), CUDA_R_32F),
               "cuBLASLt product");
  operation.reset(made);
  transpose(operation, CUBLASLT_MATMUL_DESC_TRANSA, product.transpose_a);
  transpose(operation, CUBLASLT_MATMUL_DESC_TRANSB, product.transpose_b);
}

CublasPreference cublas_preference() {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublas().MatmulPreferenceCreate(&made), "cuBLASLt preference");
  CublasPreference preference(made);
  prefer<std::uint64_t>(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kConvWorkspaceBytes);
  prefer<std::uint32_t>(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  for (const auto alignment :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    prefer<std::uint32_t>(preference, alignment, 16);
  return preference;
}

}  // namespace fjord::cuda
