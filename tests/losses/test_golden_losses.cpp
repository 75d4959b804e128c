// SMP's losses, value and gradient, by the public op: on the CPU and on the reference in double.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "tests/losses/loss_run.h"

using namespace fjord;

namespace {

void compare(Backend backend) {
  fmt::print("{:<36} {:>14} {:>14} {:>9} {:>9}\n", std::string(to_string(backend)) + ": loss",
             "value", "golden", "error", "gradient");
  for (const golden::LossEntry& entry : golden::loss_entries()) {
    CAPTURE(entry.name);
    const golden::LossInput input = golden::loss_input(entry.logits, entry.label);
    const LossRun run =
        run_loss(parse_loss(entry.expression), input.shape, input.logits, input.label, backend);
    const double error = std::fabs(run.value - entry.value) / std::fabs(entry.value);
    const double gradient = golden::distance(golden::figures(run.dlogits.data(), input.shape),
                                             entry.gradient, input.shape.count());
    fmt::print("{:<36} {:>14.8f} {:>14.8f} {:>9.1e} {:>9.1e}\n", entry.name, run.value, entry.value,
               error, gradient);
    CHECK(error <= 1e-5);
    CHECK(gradient <= 1e-5);
  }
}

}  // namespace

TEST_CASE("losses and their gradients are SMP's: cpu") { compare(Backend::cpu); }
TEST_CASE("losses and their gradients are SMP's: reference") { compare(Backend::reference); }
