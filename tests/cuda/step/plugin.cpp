// The CUDA backend as a library that a program opens: here with the emulated card behind it.
#include "kernels/plugin.h"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/cpu/backend.h"
#include "tests/engine/toy.h"

using namespace fjord;
using namespace fjord::test;

namespace {

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::device);
    return error.what();
  }
  return "accepted";
}

std::vector<double> losses(Backend backend) {
  TrainerOptions o;
  o.image = {2, 16, 16, 3};
  o.loss = parse_loss("0.5*dice+0.5*bce");
  o.backend = backend;
  Parameters parameters;
  Trainer trainer(toy_model(), parameters, o);
  Waves waves(o.image, 4);
  std::vector<double> losses;
  while (waves.next(trainer.images(), trainer.labels())) losses.push_back(trainer.step(1e-2).loss);
  return losses;
}

}  // namespace

TEST_CASE("without a library, or with one that is none: exit 6, and what to do") {
  CHECK(refusal([] { enable_cuda(); }) ==
        "error[E-device-build] --device cuda - this build has no CUDA backend - use --device cpu");
  CHECK(refusal([] {
          enable_cuda_from("/nowhere/libfjord_cuda.so");
        }).find("error[E-device-library] /nowhere/libfjord_cuda.so - ") == 0);
  CHECK(refusal([] { device(Backend::cuda); }).find("error[E-device-build]") == 0);
}

TEST_CASE("a library of another state of the sources is refused") {
  void* const library = ::dlopen(FJORD_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  REQUIRE((library != nullptr));
  auto* const fill = reinterpret_cast<FillCuda*>(::dlsym(library, "fjord_fill_cuda"));
  REQUIRE((fill != nullptr));
  std::string other = plugin_key();
  CHECK(other.starts_with("fjord-cuda "));
  char& digit = other[std::string_view("fjord-cuda ").size()];
  digit = digit == '0' ? '1' : '0';
  Device* device = nullptr;
  CHECK(std::string(fill(other.c_str(), AnyKernel::first, &device)) ==
        "device-library\nits CUDA backend is of another build\ninstall both from one");
  CHECK(!device);
  CHECK(!adamw_update.filled(Backend::cuda));
}

TEST_CASE("slots are filled by name, and a training step runs in the library") {
  enable_cpu_kernels();
  CHECK(!adamw_update.filled(Backend::cuda));
  enable_cuda_from(FJORD_PLUGIN);
  CHECK(adamw_update.filled(Backend::cuda));
  CHECK(device(Backend::cuda).name() == "emulated card");
  const std::vector<double> cpu = losses(Backend::cpu), cuda = losses(Backend::cuda);
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(cuda[i] - cpu[i]) <= 1e-3 * cpu[i]);
  }
}

TEST_CASE("errors of the library arrive as errors") {
  enable_cuda_from(FJORD_PLUGIN);
  CHECK(refusal([] {
          device(Backend::cuda).allocate(std::size_t{1} << 40);
        }).find("error[E-device-memory] 1048576 MiB (1099511627776 bytes) could not be had") == 0);
}
