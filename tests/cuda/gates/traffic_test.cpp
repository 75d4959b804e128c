// What each hand-written kernel moves, as the emulation counts it, against the least that it could:
// every tensor read once or written once, both where it is added to.
//
// The table is printed when FJORD_TRAFFIC is set.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/cuda/emulation/watch.h"
#include "tests/cuda/gates/traffic_cases.h"
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

emulation::watch::Traffic traffic_of(const OpCase& op_case, DType feature) {
  Operands operands(op_case, {Backend::cuda, feature});
  Stream run = stream(Backend::cuda);
  emulation::watch::take_traffic();
  op_case.run(operands, run);
  operands.finish(run);
  emulation::watch::Traffic sum;
  for (const emulation::watch::Traffic& kernel : emulation::watch::take_traffic())
    emulation::watch::add(sum, kernel);
  return sum;
}

struct Row {
  double moved = 0, asked = 0;
  std::string text;
};

Row row_of(const Measured& measured, DType feature) {
  const OpCase& c = measured.op_case;
  const emulation::watch::Traffic t = traffic_of(c, feature);
  const auto floor = static_cast<double>(floor_bytes(c, feature));
  const auto moved = 32.0 * static_cast<double>(t.unique_read_sectors + t.unique_written_sectors);
  const auto asked = 32.0 * static_cast<double>(t.read_sectors + t.written_sectors);
  const double turns = t.ideal_shared_turns == 0 ? 1
                                                 : static_cast<double>(t.shared_turns) /
                                                       static_cast<double>(t.ideal_shared_turns);
  return {moved / floor, asked / floor,
          fmt::format("| {} {} | {} | {} | {:.0f} | {:.0f} | {:.2f} | {:.2f} | {:.2f} |\n", c.slot,
                      c.what, feature == DType::f32 ? "f32" : "bf16", t.launches, floor, moved,
                      moved / floor, asked / floor, turns)};
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
      "| kernel | type | launches | floor bytes | moved | moved / floor | asked / floor | bank "
      "turns / ideal |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const Measured& measured : measured_cases())
    for (const DType feature : {DType::f32, DType::bf16}) {
      if (feature == DType::f32 && measured.op_case.slot.starts_with("conv_")) continue;
      const Row row = row_of(measured, feature);
      CAPTURE(row.text);
      CHECK(row.moved >= 0.9);  // else something is not seen
      CHECK(row.moved <= measured.bounds.moved);
      CHECK(row.asked <= measured.bounds.asked);
      table += row.text;
    }
  if (std::getenv("FJORD_TRAFFIC")) std::printf("%s", table.c_str());
}

}  // namespace fjord
