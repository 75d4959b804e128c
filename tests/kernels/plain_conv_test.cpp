// The convolutions of builds without oneDNN hold every case of convolutions, at any number of
// threads.
#include "kernels/cpu/direct/plain_conv.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/cpu/bias.h"
#include "tests/kernels/op_case.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

/// While it lives, every convolution on the CPU is a plain one.
struct Plain {
  Plain() {
    prepare_conv_forward.cpu = [](const ConvShape& shape, ConvForward& pass, Stream&) {
      pass = plain_forward(shape);
    };
    prepare_conv_backward_data.cpu = [](const ConvShape& shape, ConvBackwardData& pass, Stream&) {
      pass = plain_backward_data(shape);
    };
    prepare_conv_backward_filter.cpu = [](const ConvShape& shape, ConvBackwardFilter& pass,
                                          Stream&) {
      pass = plain_backward_filter(shape);
      pass.run = [run = pass.run](In x, In dy, Out dweight, Out dbias, void* scratch, Stream& s) {
        run(x, dy, dweight, {}, scratch, s);
        if (dbias) bias_gradient(dy, dbias);
      };
    };
  }
  ~Plain() {
    prepare_conv_forward.cpu = forward;
    prepare_conv_backward_data.cpu = data;
    prepare_conv_backward_filter.cpu = filter;
  }
  decltype(prepare_conv_forward.cpu) forward = prepare_conv_forward.cpu;
  decltype(prepare_conv_backward_data.cpu) data = prepare_conv_backward_data.cpu;
  decltype(prepare_conv_backward_filter.cpu) filter = prepare_conv_backward_filter.cpu;
};

// Sizes that take the double reference long are left to those of fewer products.
bool small(const OpCase& op_case) {
  std::int64_t filter = 0, pixels = 0;
  for (const Operand& operand : op_case.tensors) {
    const bool weight = operand.name.ends_with("weight");
    (weight ? filter : pixels) =
        weight ? operand.shape.count() : std::max(pixels, operand.shape.pixels());
  }
  return filter * pixels <= 4'000'000;
}

}  // namespace

TEST_CASE("plain convolutions hold every case of theirs") {
  start_backends();
  const Plain plain;
  int cases = 0;
  for (const OpCase& op_case : op_cases()) {
    if (op_case.slot != "conv_forward" && op_case.slot != "conv_backward_data" &&
        op_case.slot != "conv_backward_filter")
      continue;
    if (!op_case.compare || !small(op_case)) continue;
    ++cases;
    CAPTURE(op_case.slot);
    CAPTURE(op_case.what);
    for (const std::string& fault : faults_of(op_case)) FAIL_CHECK(fault);
  }
  MESSAGE(cases << " cases");
  CHECK(cases >= 30);
}

}  // namespace fjord
