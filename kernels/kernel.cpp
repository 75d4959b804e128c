// Names of backends, and what an empty slot says.
#include "kernels/kernel.h"

namespace fjord {

std::string_view to_string(Backend backend) {
  switch (backend) {
    case Backend::cpu:
      return "cpu";
    case Backend::cuda:
      return "cuda";
    case Backend::reference:
      return "reference";
  }
  return "unknown";
}

void throw_empty_slot(const char* name, Backend backend) {
  throw Error(ExitCode::device, "no-kernel",
              fmt::format("{}: no {} kernel in this build", name, to_string(backend)),
              "the backend does not implement this operation", "use --device cpu");
}

}  // namespace fjord
