// Recording a network and writing its words.
#include "tools/onnx.h"

#include "kernels/error.h"
#include "tools/files.h"
#include "tools/onnx_graph.h"

namespace fjord {

namespace {

constexpr int kOpset = 17, kFormat = 8;            // what goes with it
constexpr std::size_t kMostBytes = 2'000'000'000;  // of a protobuf

void write_graph(onnx::GraphProto& graph, const ModelOptions& model, Parameters& parameters) {
  Tape tape(parameters, {.mode = Mode::declare});
  const Net net{&tape, ""};
  // Another size at every level, and none a square: the graph tells them apart.
  const Tensor image = net.tensor({.n = 1, .h = 256, .w = 384, .c = model.in_channels}, "image");
  const auto [logits, scores] = build_model_and_scores(net, image, model);
  OnnxGraph writer(tape, graph);
  writer.input(image, "image");
  writer.write();
  writer.masks(logits, model.activation);
  if (scores) writer.scores(scores, model.classification->activation);
  graph.set_name(model.arch + "-" + model.encoder);
}

}  // namespace

void write_onnx(const std::filesystem::path& path, const ModelOptions& model,
                Parameters& parameters, const Metadata& metadata) {
  onnx::ModelProto proto;
  proto.set_ir_version(kFormat);
  proto.set_producer_name("fjord");
  proto.set_producer_version(FJORD_VERSION);
  proto.add_opset_import()->set_version(kOpset);
  if (parameters.bytes() > kMostBytes)
    throw Error(ExitCode::usage, "onnx", printable(path.native()),
                "a single ONNX file has at most 2 GB", "export to a .safetensors or to a folder");
  write_graph(*proto.mutable_graph(), model, parameters);
  for (const auto& [key, value] : metadata) {
    onnx::StringStringEntryProto& entry = *proto.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  write_file_atomically(path, proto.SerializeAsString());
}

}  // namespace fjord
