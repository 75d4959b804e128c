// Every case of tests/kernels on the emulated card, in f32, bf16 and f16, and the kernels that no
// case reaches.
//
// FJORD_CASES=norm,pool runs only the slots whose names begin so; FJORD_TRAFFIC=1 prints what each
// kernel moved; FJORD_TIMES=1 how long each case took; FJORD_TYPES=daily leaves f16 out.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/cuda/emulation/findings.h"
#include "tests/cuda/emulation/launch.h"
#include "tests/cuda/emulation/watch.h"
#include "tests/cuda/kernel_names.h"
#include "tests/kernels/op_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

bool chosen(const std::string& slot) {
  const char* variable = std::getenv("FJORD_CASES");
  if (!variable) return true;
  std::istringstream prefixes(variable);
  for (std::string prefix; std::getline(prefixes, prefix, ',');)
    if (slot.starts_with(prefix)) return true;
  return false;
}

bool filled(const std::string& name) {
  for (const AnyKernel* slot = AnyKernel::first; slot; slot = slot->next)
    if (name == slot->name) return slot->filled(Backend::cuda);
  return false;
}

// Convolutions are naive loops here; what is ours around them, and the kernels for few channels,
// show on smaller ones. The work is at most that of the filter at every pixel of the larger image.
bool too_large(const OpCase& op_case) {
  std::int64_t filter = 0, pixels = 0;
  for (const Operand& operand : op_case.tensors) {
    if (operand.name.ends_with("weight"))
      filter = operand.shape.count();
    else
      pixels = std::max(pixels, operand.shape.pixels());
  }
  return op_case.slot.starts_with("conv_") && filter * pixels > 20'000'000;
}

// What kernels keep for themselves between calls holds nothing that they may rely on.
void poison_workspace(Stream& stream) {
  float* memory = cuda::workspace(stream, cuda::kWorkspaceBytes);
  device(Backend::cuda).fill(memory, 0xFF, cuda::kWorkspaceBytes, stream);
}

std::vector<std::string> faults_in(const OpCase& op_case, DType feature) {
  std::vector<std::string> faults;
  try {
    faults = faults_of(op_case, {Backend::cuda, feature, poison_workspace});
  } catch (const Error& error) {
    faults.emplace_back(error.what());
  }
  for (const std::string& finding : emulation::take_findings()) faults.push_back(finding);
  return faults;
}

struct Count {
  int cases = 0, runs = 0, too_large = 0;
  double seconds = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void run_case(const OpCase& op_case, Count& count) {
  const auto start = std::chrono::steady_clock::now();
  ++count.cases;
  for (const DType feature : {DType::f32, DType::bf16, DType::f16}) {
    if (feature != DType::f32 && op_case.features.empty()) continue;
    if (feature == DType::f16 && std::getenv("FJORD_TYPES")) continue;
    ++count.runs;
    const std::vector<std::string> faults = faults_in(op_case, feature);
    CAPTURE(op_case.slot);
    CAPTURE(op_case.what);
    CAPTURE(size_of(feature));
    for (const std::string& fault : faults) FAIL_CHECK(fault);
  }
  if (std::getenv("FJORD_TIMES"))
    std::printf("%6.2f s %s, %s\n", seconds_since(start), op_case.slot.c_str(),
                op_case.what.c_str());
}

Count run_cases() {
  start_backends();
  enable_device(Backend::cuda, cuda_device());
  enable_cuda_kernels();
  emulation::watch::set_on(true);
  Count count;
  const auto start = std::chrono::steady_clock::now();
  for (const OpCase& op_case : op_cases()) {
    if (!chosen(op_case.slot) || !filled(op_case.slot)) continue;
    if (too_large(op_case))
      ++count.too_large;
    else
      run_case(op_case, count);
  }
  count.seconds = seconds_since(start);
  return count;
}

}  // namespace

TEST_CASE("every case holds on the emulated card, and every kernel has one") {
  const Count count = run_cases();
  if (std::getenv("FJORD_TRAFFIC"))
    std::printf("%s\n", emulation::watch::table(emulation::watch::take_traffic()).c_str());
  const std::set<std::string> kernels = kernels_in(FJORD_KERNELS_FOLDER);
  const std::set<std::string> left = never_launched(kernels);
  std::printf("kernels %zu, with emulated test %zu, cases %d (%d with their types), time %.0f s\n",
              kernels.size(), kernels.size() - left.size(), count.cases, count.runs, count.seconds);
  if (count.too_large > 0)
    std::printf("SKIPPED: %d convolutions too large for the stand-in\n", count.too_large);
  if (std::getenv("FJORD_TYPES"))
    std::printf("SKIPPED: f16 (tests/run.sh --cuda-emulated runs it)\n");
  if (std::getenv("FJORD_CASES")) return;
  CHECK(kernels.size() > 0);
  for (const std::string& name : left) FAIL_CHECK("no case launches the kernel " << name);
}

TEST_CASE("every slot has a CUDA kernel") {
  start_backends();
  for (const AnyKernel* slot = AnyKernel::first; slot; slot = slot->next) {
    const std::string name = slot->name;
    CAPTURE(name);
    CHECK(slot->filled(Backend::cuda));
  }
}

}  // namespace fjord
