// gates LIBRARY PROMISES: the table of kernels as compiled, and every promise that is not kept.
// gates --overview LIBRARY PROMISES: a row for each kernel, in Markdown, for docs/gpu-plans.md.
// gates --list LIBRARY: one line a kernel, architecture and count, for comparing with other tools.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/cuda/gates/promises.h"

namespace {

int list(const char* library) {
  for (const fjord::KernelCode& k : fjord::read_device_code(library))
    fmt::print(
        "sm_{} {} registers {} stack {} loads {} loads128 {} stores {} stores128 {} local {} mma "
        "{}\n",
        k.architecture, k.name, k.registers, k.stack, k.counts.loads, k.counts.loads128,
        k.counts.stores, k.counts.stores128, k.counts.local, k.counts.tensor);
  return 0;
}

std::vector<fjord::Promise> promises_in(const char* file) {
  std::ifstream text(file);
  if (!text) throw std::runtime_error(std::string("cannot read ") + file);
  return fjord::read_promises(text);
}

std::vector<fjord::KernelCode> kernels_in(const char* library) {
  std::vector<fjord::KernelCode> kernels = fjord::read_device_code(library);
  if (kernels.empty())
    throw std::runtime_error(std::string("no kernels in ") + library +
                             " (compile with -no-compress)");
  return kernels;
}

int hold(const char* library, const char* promises) {
  const std::vector<fjord::KernelCode> kernels = kernels_in(library);
  const fjord::Verdict verdict = fjord::judge(kernels, promises_in(promises));
  fmt::print("{}\n", verdict.table);
  for (const std::string& fault : verdict.faults) fmt::print("{}\n", fault);
  std::set<std::string> names;
  for (const fjord::KernelCode& kernel : kernels) names.insert(kernel.name);
  fmt::print("gates: {} kernels, {} with their architectures, {} faults\n", names.size(),
             kernels.size(), verdict.faults.size());
  return verdict.faults.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::string(argv[1]) == "--list") return list(argv[2]);
    if (argc == 4 && std::string(argv[1]) == "--overview") {
      fmt::print("{}", fjord::overview(kernels_in(argv[2]), promises_in(argv[3])));
      return 0;
    }
    if (argc == 3) return hold(argv[1], argv[2]);
    std::fputs("usage: gates [--overview] LIBRARY PROMISES | gates --list LIBRARY\n", stderr);
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gates: {}\n", error.what());
    return 1;
  }
}
