// Runs an ONNX graph by naive loops: the operators that a ResNet-UNet is exported to.
#pragma once

#include <onnx.pb.h>

#include <vector>

namespace fjord::test {

/// Values in C order; sizes and other integers are kept as such.
struct OnnxValue {
  std::vector<std::int64_t> shape;
  std::vector<float> floats;
  std::vector<std::int64_t> integers;
};

/// The graph's output for its one input. Fails the test at an operator that it does not know.
OnnxValue run_onnx(const onnx::ModelProto& model, OnnxValue input);

}  // namespace fjord::test
