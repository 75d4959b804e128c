// What each hand-written kernel moves, as the emulation counts it, against the least that it could:
// every tensor read once or written once, both where it is added to. A kernel that no case launches
// fails.
//
// The table is printed when FJORD_TRAFFIC is set.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/cuda/emulation/watch.h"
#include "tests/cuda/gates/traffic_cases.h"
#include "tests/cuda/kernel_names.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

std::int64_t floor_bytes(const OpCase& op_case, DType feature) {
  std::int64_t bytes = 0;
  for (const Operand& t : op_case.tensors) {
    const bool is_feature = std::find(op_case.features.begin(), op_case.features.end(), t.name) !=
                            op_case.features.end();
    const bool both =
        t.use == Operand::Use::update || (t.use == Operand::Use::write && t.mode == Write::add);
    const DType dtype = is_feature && t.dtype == DType::f32 ? feature : t.dtype;
    bytes += (both ? 2 : 1) * t.shape.count() * static_cast<std::int64_t>(size_of(dtype));
  }
  return bytes;
}

// Kernels that no case measures, and why.
const std::map<std::string, std::string> unmeasured{
    {"code_probe", "does nothing: asks whether there is code for the card"},
    {"prepare_kernel", "one thread, a few numbers: it takes as long as a launch"},
};

using emulation::watch::Traffic;

std::vector<Traffic> traffic_of(const OpCase& op_case, DType feature) {
  Operands operands(op_case, {Backend::cuda, feature});
  Stream run = stream(Backend::cuda);
  device(Backend::cuda).synchronize(run);
  emulation::watch::take_traffic();
  op_case.run(operands, run);
  operands.finish(run);
  return emulation::watch::take_traffic();
}

// "features" are of this type; a case without any has types of its own.
const char* name_of(const OpCase& op_case, DType feature) {
  if (op_case.features.empty()) return "own";
  return feature == DType::f32 ? "f32" : "bf16";
}

struct Row {
  double moved = 0, asked = 0;
  std::set<std::string> kernels;
  std::string text;
};

Row row_of(const OpCase& c, DType feature) {
  Traffic t;
  Row row;
  for (const Traffic& kernel : traffic_of(c, feature)) {
    emulation::watch::add(t, kernel);
    if (kernel.global_instructions == 0) continue;  // a stand-in
    row.kernels.insert(base_name(kernel.kernel));
  }
  const auto floor = static_cast<double>(floor_bytes(c, feature));
  const auto moved = 32.0 * static_cast<double>(t.unique_read_sectors + t.unique_written_sectors);
  const auto asked = 32.0 * static_cast<double>(t.read_sectors + t.written_sectors);
  const double turns = t.ideal_shared_turns == 0 ? 1
                                                 : static_cast<double>(t.shared_turns) /
                                                       static_cast<double>(t.ideal_shared_turns);
  row.moved = moved / floor;
  row.asked = asked / floor;
  row.text = fmt::format("| {}{}{} | {} | `{}` | {:.0f} | {:.0f} | {:.2f} | {:.2f} | {:.2f} |\n",
                         c.slot, c.what.empty() ? "" : ": ", c.what, name_of(c, feature),
                         fmt::join(row.kernels, "`, `"), floor, moved, row.moved, row.asked, turns);
  return row;
}

std::vector<DType> types_of(const Measured& measured) {
  if (measured.tensor_cores) return {DType::bf16};
  if (measured.op_case.features.empty()) return {DType::f32};
  return {DType::f32, DType::bf16};
}

// Kernels that are in neither list, and exceptions that are none.
std::set<std::string> not_covered(const std::set<std::string>& measured) {
  std::set<std::string> left = kernels_in(FJORD_KERNELS_FOLDER);
  for (const std::string& name : measured) left.erase(name);
  for (const auto& [name, reason] : unmeasured)
    if (left.erase(name) == 0) left.insert(name + " (an exception)");
  return left;
}

}  // namespace

TEST_CASE("kernels move little more than they must") {
  if (!emulation::watch::available()) {
    MESSAGE("SKIPPED: bytes moved by kernels are counted where they are compiled for the watcher");
    return;
  }
  start_backends();
  enable_device(Backend::cuda, cuda_device());
  enable_cuda_kernels();
  emulation::watch::set_on(true);
  std::string table =
      "| what | type | kernels | floor bytes | moved | moved / floor | asked / floor | bank "
      "turns / ideal |\n"
      "|---|---|---|---|---|---|---|---|\n";
  std::set<std::string> kernels;
  for (const Measured& measured : measured_cases())
    for (const DType feature : types_of(measured)) {
      const Row row = row_of(measured.op_case, feature);
      CAPTURE(row.text);
      CHECK(row.moved >= 0.9);  // else something is not seen
      CHECK(row.moved <= measured.bounds.moved);
      CHECK(row.asked <= measured.bounds.asked);
      kernels.insert(row.kernels.begin(), row.kernels.end());
      table += row.text;
    }
  if (std::getenv("FJORD_TRAFFIC")) std::printf("%s", table.c_str());
  for (const std::string& name : not_covered(kernels))
    FAIL_CHECK("no case measures the kernel " << name);
}

}  // namespace fjord
