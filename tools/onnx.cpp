// Recording a network and writing its words.
#include "tools/onnx.h"

#include "kernels/error.h"
#include "tools/files.h"
#include "tools/onnx_graph.h"

namespace fjord {

namespace {

constexpr int kOpset = 17, kFormat = 8;            // what goes with it
constexpr std::size_t kMostBytes = 2'000'000'000;  // of a protobuf

void describe(onnx::ValueInfoProto& value, const std::string& name, std::int64_t channels) {
  value.set_name(name);
  onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("batch");
  type.mutable_shape()->add_dim()->set_dim_value(channels);
  type.mutable_shape()->add_dim()->set_dim_param("height");
  type.mutable_shape()->add_dim()->set_dim_param("width");
}

void write_graph(onnx::GraphProto& graph, const ModelOptions& model, Parameters& parameters,
                 bool probabilities) {
  Tape tape(parameters, {.mode = Mode::declare});
  const Net net{&tape, ""};
  // Another size at every level, and none a square: the graph tells them apart.
  const Tensor image = net.tensor({.n = 1, .h = 256, .w = 384, .c = model.in_channels}, "image");
  const Tensor logits = build_model(net, image, model);
  OnnxGraph writer(tape, graph);
  writer.input(image, "image");
  writer.write();
  const std::string made = writer.name_of(logits.slot);
  if (!probabilities) {
    writer.node("Identity", {made});
  } else if (model.classes == 1) {
    writer.node("Sigmoid", {made});
  } else {
    writer.node("Softmax", {made});
    onnx::AttributeProto& axis = *writer.last().add_attribute();
    axis.set_name("axis");
    axis.set_type(onnx::AttributeProto::INT);
    axis.set_i(1);
  }
  const std::string name = probabilities ? "probabilities" : "logits";
  writer.last().set_output(0, name);
  graph.set_name(model.arch + "-" + model.encoder);
  describe(*graph.add_input(), "image", model.in_channels);
  describe(*graph.add_output(), name, model.classes);
}

}  // namespace

void write_onnx(const std::filesystem::path& path, const ModelOptions& model,
                Parameters& parameters, const OnnxOptions& options) {
  onnx::ModelProto proto;
  proto.set_ir_version(kFormat);
  proto.set_producer_name("fjord");
  proto.set_producer_version(FJORD_VERSION);
  proto.add_opset_import()->set_version(kOpset);
  if (parameters.bytes() > kMostBytes)
    throw Error(ExitCode::usage, "onnx", printable(path.native()),
                "a single ONNX file has at most 2 GB", "export to a .safetensors or to a folder");
  write_graph(*proto.mutable_graph(), model, parameters, options.probabilities);
  for (const auto& [key, value] : options.metadata) {
    onnx::StringStringEntryProto& entry = *proto.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  write_file_atomically(path, proto.SerializeAsString());
}

}  // namespace fjord
