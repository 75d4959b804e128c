// The card that a program with the emulated library finds, as the environment describes it.
#include <cstdlib>
#include <fstream>

#include "tests/cuda/emulation/launch.h"
#include "tests/cuda/emulation/runtime.h"

namespace {

long number(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value ? std::strtol(value, nullptr, 10) : otherwise;
}

// FJORD_EMULATED_SM: 75 for sm_75. FJORD_EMULATED_STATUS: of the driver, as cudaError.
// FJORD_EMULATED_LOST: the launch of a graph in which the card is lost.
const bool described = [] {
  emulation::Card& card = emulation::card();
  const long capability = number("FJORD_EMULATED_SM", 90);
  card.major = static_cast<int>(capability / 10);
  card.minor = static_cast<int>(capability % 10);
  card.lost_at = number("FJORD_EMULATED_LOST", 0);
  emulation::set_driver_status(static_cast<cudaError_t>(number("FJORD_EMULATED_STATUS", 0)));
  return true;
}();

// FJORD_EMULATED_KERNELS: a file for the names of all that were launched.
struct AtExit {
  ~AtExit() {
    const char* path = std::getenv("FJORD_EMULATED_KERNELS");
    if (!path) return;
    std::ofstream file(path);
    for (const auto& [name, count] : emulation::launched_kernels()) file << name << '\n';
  }
} at_exit;

}  // namespace
