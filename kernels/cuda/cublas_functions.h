// cuBLASLt's functions. The library is opened when first asked for: that takes 0.1 s, which a start
// that times nothing does not wait for.
#pragma once

#include <cublasLt.h>

namespace fjord::cuda {

#define FJORD_CUBLAS_FUNCTIONS(EACH) \
  EACH(Create)                       \
  EACH(GetVersion)                   \
  EACH(GetStatusString)              \
  EACH(MatrixLayoutCreate)           \
  EACH(MatrixLayoutDestroy)          \
  EACH(MatmulDescCreate)             \
  EACH(MatmulDescDestroy)            \
  EACH(MatmulDescSetAttribute)       \
  EACH(MatmulPreferenceCreate)       \
  EACH(MatmulPreferenceDestroy)      \
  EACH(MatmulPreferenceSetAttribute) \
  EACH(MatmulAlgoGetHeuristic)       \
  EACH(MatmulAlgoCheck)              \
  EACH(MatmulAlgoConfigGetAttribute) \
  EACH(MatmulAlgoCapGetAttribute)    \
  EACH(Matmul)

struct CublasFunctions {
#define FJORD_DECLARE(name) decltype(&cublasLt##name) name = nullptr;
  FJORD_CUBLAS_FUNCTIONS(FJORD_DECLARE)
#undef FJORD_DECLARE
};

/// Throws Error{device, "cublas"} where the library cannot be opened.
const CublasFunctions& cublas();

}  // namespace fjord::cuda
