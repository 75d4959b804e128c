// cuBLASLt's functions, found in the library by their names.
#include "kernels/cuda/cublas_functions.h"

#include <dlfcn.h>

#include "kernels/error.h"

namespace fjord::cuda {

namespace {

[[noreturn]] void refuse(const std::string& library) {
  const char* why = dlerror();
  throw Error(ExitCode::device, "cublas", library, printable(why ? why : "it has no such function"),
              "put its folder into LD_LIBRARY_PATH, or leave FJORD_CUDNN_TUNE out");
}

CublasFunctions open() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!library) refuse(name);
  CublasFunctions functions;
  const auto find = [&](const char* function) {
    void* found = dlsym(library, function);
    return found ? found : (refuse(name), nullptr);
  };
#define FJORD_FIND(name) \
  functions.name = reinterpret_cast<decltype(functions.name)>(find("cublasLt" #name));
  FJORD_CUBLAS_FUNCTIONS(FJORD_FIND)
#undef FJORD_FIND
  return functions;
}

}  // namespace

const CublasFunctions& cublas() {
  static const CublasFunctions functions = open();
  return functions;
}

}  // namespace fjord::cuda
