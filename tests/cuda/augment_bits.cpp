// Augmentation on the card gives the CPU's bits: a run can move between them, and a batch made on
// one is the batch made on the other.
#include <doctest/doctest.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "tests/kernels/op_case.h"
#include "tests/kernels/start.h"

namespace fjord {

TEST_CASE("augmentation on the card equals the CPU's to the bit") {
  start_backends();
  enable_device(Backend::cuda, cuda_device());
  enable_cuda_kernels();
  int cases = 0;
  for (const OpCase& op_case : op_cases()) {
    if (!op_case.slot.starts_with("augment_")) continue;
    CAPTURE(op_case.slot);
    CAPTURE(op_case.what);
    const auto bits_on = [&](Backend backend) {
      Operands operands(op_case, {backend});
      Stream on = stream(backend);
      op_case.run(operands, on);
      operands.finish(on);
      return operands.bytes("y");
    };
    CHECK(bits_on(Backend::cpu) == bits_on(Backend::cuda));
    ++cases;
  }
  CHECK(cases > 20);
}

}  // namespace fjord
