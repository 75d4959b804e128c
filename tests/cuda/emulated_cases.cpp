// Every case of tests/kernels on the emulated card, in f32, bf16 and f16, and the kernels that no
// case reaches.
//
// FJORD_CASES=norm,pool runs only the slots whose names begin so; FJORD_TYPES=f32,bf16 only these
// types; FJORD_TRAFFIC=1 prints what each kernel moved; FJORD_TIMES=1 how long each case took.
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

// Whether the text begins with one of those that the variable lists; without the variable any does.
bool chosen(const char* name, const std::string& text) {
  const char* variable = std::getenv(name);
  if (!variable) return true;
  std::istringstream prefixes(variable);
  for (std::string prefix; std::getline(prefixes, prefix, ',');)
    if (text.starts_with(prefix)) return true;
  return false;
}

const char* name_of(DType feature) {
  return feature == DType::f32 ? "f32" : feature == DType::bf16 ? "bf16" : "f16";
}

bool chosen(DType feature) { return chosen("FJORD_TYPES", name_of(feature)); }

bool filled(const std::string& name) {
  for (const AnyKernel* slot = AnyKernel::first; slot; slot = slot->next)
    if (name == slot->name) return slot->filled(Backend::cuda);
  return false;
}

// Convolutions are naive loops here, one after the other; what is ours around them, and the kernels
// for few channels, show on smaller ones.
bool too_large(const OpCase& op_case) {
  std::int64_t filter = 0, pixels = 0;
  for (const Operand& operand : op_case.tensors) {
    if (operand.name.ends_with("weight"))
      filter = operand.shape.count();
    else
      pixels = std::max(pixels, operand.shape.pixels());
  }
  const bool large = filter > 2'000'000 || pixels > 100'000 || filter * pixels > 20'000'000;
  return op_case.slot.starts_with("conv_") && large;
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
    // A case without features has types of its own and belongs to every choice.
    if (op_case.features.empty() ? feature != DType::f32 : !chosen(feature)) continue;
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
    if (!chosen("FJORD_CASES", op_case.slot) || !filled(op_case.slot)) continue;
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
  std::string types, skipped;
  for (const DType feature : {DType::f32, DType::bf16, DType::f16})
    (chosen(feature) ? types : skipped) += std::string(" ") + name_of(feature);
  std::printf("kernels %zu, with emulated test %zu, cases %d (%d runs in%s), time %.0f s\n",
              kernels.size(), kernels.size() - left.size(), count.cases, count.runs, types.c_str(),
              count.seconds);
  if (count.too_large > 0)
    std::printf("SKIPPED: %d convolutions too large for the stand-in\n", count.too_large);
  if (!skipped.empty())
    std::printf("SKIPPED:%s (tests/run.sh --cuda-emulated runs all types)\n", skipped.c_str());
  // The tensor-core kernels are launched for 16 bits alone.
  if (std::getenv("FJORD_CASES") || !chosen(DType::bf16)) return;
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
