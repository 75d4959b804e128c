// Every op case whose slot has a CUDA kernel, on that kernel, in f32, bf16 and f16; once where it
// has types of its own.
//
// FJORD_SLOTS=batch_norm_apply,max_pool runs the slots whose names begin with one of these.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "tests/kernels/cuda_start.h"
#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

bool has_cuda(const std::string& slot) {
  for (const AnyKernel* kernel = AnyKernel::first; kernel; kernel = kernel->next)
    if (kernel->name == slot) return kernel->filled(Backend::cuda);
  return false;
}

bool wanted(const std::string& slot) {
  const char* variable = std::getenv("FJORD_SLOTS");
  if (!variable) return true;
  std::istringstream beginnings{variable};
  for (std::string beginning; std::getline(beginnings, beginning, ',');)
    if (slot.starts_with(beginning)) return true;
  return false;
}

// Cases with features, in that type; or without.
void run_cases(DType feature, bool with_features) {
  const Place place = cuda_place(feature);
  int cases = 0;
  std::set<std::string> slots;
  for (const OpCase& op_case : op_cases()) {
    if (!has_cuda(op_case.slot) || !wanted(op_case.slot)) continue;
    if (op_case.features.empty() == with_features) continue;
    if (!op_case.compare && cuda_is_emulated()) continue;  // sizes that would take it minutes
    ++cases;
    slots.insert(op_case.slot);
    CAPTURE(op_case.slot);
    CAPTURE(op_case.what);
    for (const std::string& fault : faults_of(op_case, place)) FAIL_CHECK(fault);
  }
  MESSAGE(cases << " cases of " << slots.size() << " slots");
  if (!std::getenv("FJORD_SLOTS")) CHECK(cases > 0);
}

}  // namespace

TEST_CASE("every op case holds on CUDA in f32") { run_cases(DType::f32, true); }
TEST_CASE("every op case holds on CUDA in bf16") { run_cases(DType::bf16, true); }
TEST_CASE("every op case holds on CUDA in f16") { run_cases(DType::f16, true); }
TEST_CASE("every op case holds on CUDA in its own types") { run_cases(DType::f32, false); }

TEST_CASE("a slot that CUDA has is a slot with a case") {
  cuda_place(DType::f32);
  for (const AnyKernel* kernel = AnyKernel::first; kernel; kernel = kernel->next) {
    if (!kernel->filled(Backend::cuda)) continue;
    CAPTURE(kernel->name);
    CHECK(std::any_of(op_cases().begin(), op_cases().end(),
                      [&](const OpCase& op_case) { return op_case.slot == kernel->name; }));
  }
}

}  // namespace fjord
