// Starts both backends for the tests.
#include "tests/kernels/start.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "kernels/augment.h"
#include "kernels/cpu/backend.h"
#include "kernels/error.h"
#include "tests/reference/reference.h"

namespace fjord {

void start_backends() {
  const char* variable = std::getenv("FJORD_ISA");
  const std::string wanted = variable ? variable : "auto";
  enable_reference_kernels();
  enable_cpu_augment();
  try {
    for (const Isa isa : {Isa::automatic, Isa::avx512, Isa::avx2, Isa::plain})
      if (to_string(isa) == wanted) return enable_cpu_kernels(isa);
  } catch (const Error& error) {
    std::fprintf(stderr, "SKIPPED: %s\n", error.what());
    std::exit(77);
  }
  throw Error(ExitCode::usage, "isa", "FJORD_ISA=" + wanted, "not an instruction set",
              "use auto, avx512, avx2 or plain");
}

}  // namespace fjord
