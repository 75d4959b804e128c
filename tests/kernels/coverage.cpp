// Every case holds, and every slot has a CPU kernel, a reference and a case.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "kernels/cpu/backend.h"
#include "tests/kernels/op_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

// Slots whose proof has another form, and where it is.
const std::map<std::string, std::string> proven_elsewhere{
    {"augment_image", "tests/datasets"},
    {"augment_label", "tests/datasets"},
};

}  // namespace

TEST_CASE("every op case holds") {
  start_backends();
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.slot);
    CAPTURE(op_case.what);
    for (const std::string& fault : faults_of(op_case)) FAIL_CHECK(fault);
  }
  MESSAGE(op_cases().size() << " cases on " << to_string(cpu_isa()));
}

TEST_CASE("every slot has a kernel, a reference and a case") {
  start_backends();
  for (const AnyKernel* slot = AnyKernel::first; slot; slot = slot->next) {
    const std::string name = slot->name;
    if (proven_elsewhere.contains(name)) continue;
    CAPTURE(name);
    CHECK(slot->filled(Backend::cpu));
    CHECK(slot->filled(Backend::reference));
    const bool has_case = std::any_of(op_cases().begin(), op_cases().end(),
                                      [&](const OpCase& op_case) { return op_case.slot == name; });
    CHECK(has_case);
  }
}

TEST_CASE("a case can fail") {
  start_backends();
  static Kernel<In, Out> broken{"broken"};
  AnyKernel::first = broken.next;  // not one that coverage should ask for
  broken.reference = [](In, Out y, Stream&) { y.as<double>()[0] = 1; };
  const OpCase op_case{.slot = "broken",
                       .what = "value, sentinel, input, threads",
                       .tensors = {read("x", {}), write("y", {})},
                       .run = [](Operands& t, Stream& s) { broken(t.in("x"), t.out("y"), s); }};
  const auto fails = [&](Kernel<In, Out>::Function kernel) {
    broken.cpu = kernel;
    return !faults_of(op_case).empty();
  };
  CHECK_FALSE(fails([](In, Out y, Stream&) { *y.as<float>() = 1; }));
  CHECK(fails([](In, Out y, Stream&) { *y.as<float>() = 1.0001f; }));
  CHECK(fails([](In, Out, Stream&) {}));
  CHECK(fails([](In, Out y, Stream&) { y.as<float>()[0] = y.as<float>()[1] = 1; }));
  CHECK(fails([](In x, Out y, Stream&) {
    *y.as<float>() = 1;
    *const_cast<float*>(x.as<float>()) = 3;
  }));
  CHECK(fails([](In, Out y, Stream&) {
    static int calls = 0;
    *y.as<float>() = 1 + 1e-7f * static_cast<float>(++calls);
  }));
}

}  // namespace fjord
