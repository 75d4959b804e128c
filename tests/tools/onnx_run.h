// Runs an ONNX graph by naive loops: the operators that a ResNet-UNet is exported to.
#pragma once

#include <onnx.pb.h>

#include <filesystem>
#include <string>
#include <vector>

namespace fjord::test {

/// Values in C order; sizes and other integers are kept as such.
struct OnnxValue {
  std::vector<std::int64_t> shape;
  std::vector<float> floats;
  std::vector<std::int64_t> integers;
};

/// Fails the test where there is no ONNX file.
onnx::ModelProto read_onnx(const std::filesystem::path& path);
/// Empty where the model says nothing of it.
std::string metadata(const onnx::ModelProto& model, const std::string& key);

/// One of the graph's outputs for its one input. Fails the test at an operator that it does not
/// know.
OnnxValue run_onnx(const onnx::ModelProto& model, OnnxValue input, int output = 0);

}  // namespace fjord::test
