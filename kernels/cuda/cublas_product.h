// A product of matrices as cuBLASLt describes it: owned descriptors, failing with its own words.
#pragma once

#include <memory>
#include <string_view>

#include "kernels/cuda/conv_product.h"
#include "kernels/cuda/cublas_functions.h"

namespace fjord::cuda {

/// Throws Error{device, "cublas"} with cuBLASLt's words when a call failed.
void check_cublas(cublasStatus_t status, std::string_view what);

/// Destroys by the function of that place in CublasFunctions.
template <auto destroy>
struct CublasDestroy {
  void operator()(auto* descriptor) const { (cublas().*destroy)(descriptor); }
};
template <class Opaque, auto destroy>
using CublasOwned = std::unique_ptr<Opaque, CublasDestroy<destroy>>;

using CublasOperation =
    CublasOwned<cublasLtMatmulDescOpaque_t, &CublasFunctions::MatmulDescDestroy>;
using CublasMatrix =
    CublasOwned<cublasLtMatrixLayoutOpaque_t, &CublasFunctions::MatrixLayoutDestroy>;
using CublasPreference =
    CublasOwned<cublasLtMatmulPreferenceOpaque_t, &CublasFunctions::MatmulPreferenceDestroy>;

/// Sums are f32. Products of f32 tensors are as the problem asks: exact, never of rounded factors,
/// or of tf32. Needs no card.
struct CublasProduct {
  CublasProduct(const ConvProblem& problem, const ConvProduct& product);

  CublasOperation operation;
  CublasMatrix a, b, result;
};

/// Workspace at most kConvWorkspaceBytes, operands on 16 bytes, and no sums but those that are the
/// same on every run and rounded once: whole, or in parts of f32 that one more pass adds up.
CublasPreference cublas_preference();

}  // namespace fjord::cuda
