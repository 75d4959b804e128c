// Words to nodes. A normalisation after a convolution is folded into its filters.
#include "tools/onnx_graph.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace fjord {

namespace {

using Sizes = std::vector<std::int64_t>;

Act act_of(const Word& word) { return static_cast<Act>(word.integer("act")); }

}  // namespace

void OnnxGraph::demand(bool ok, const Word& word, std::string_view why) {
  if (!ok)
    throw Error(ExitCode::usage, "onnx", word.path + word.op, why,
                "export to a .safetensors or to a folder");
}

void OnnxGraph::write() {
  for (const Word& word : tape_.words) write(word);
}

void OnnxGraph::write(const Word& word) {
  using Writer = void (OnnxGraph::*)(const Word&);
  static const std::map<std::string_view, Writer> writers = {
      {"conv2d", &OnnxGraph::bare_convolution},
      {"conv_transpose2d", &OnnxGraph::transposed_convolution},
      {"batch_norm", &OnnxGraph::batch_norm},
      {"instance_norm", &OnnxGraph::instance_norm},
      {"max_pool", &OnnxGraph::max_pool},
      {"avg_pool", &OnnxGraph::avg_pool},
      {"pad", &OnnxGraph::pad},
      {"resize", &OnnxGraph::resize},
      {"upsample_concat", &OnnxGraph::upsample_concat},
      {"fold_channels", &OnnxGraph::fold_channels},
      {"split_softmax", &OnnxGraph::split_softmax},
      {"matrix_multiply", &OnnxGraph::matrix_multiply},
      {"transposed", &OnnxGraph::transposed}};
  const auto name = [&](std::size_t i) { return name_of(word.inputs[i]); };
  const auto set = [&](std::string value) { names_[word.output] = std::move(value); };
  if (const auto writer = writers.find(word.op); writer != writers.end())
    (this->*writer->second)(word);
  else if (word.op == "activate")
    set(activation(act_of(word), name(0)));
  else if (word.op == "add")
    set(node("Add", {name(0), name(1)}));
  else if (word.op == "multiply")
    set(node("Mul", {name(0), name(1)}));
  else if (word.op == "channel_means")
    set(node("GlobalAveragePool", {name(0)}));
  else
    demand(false, word, "the ONNX export does not know this operation");
}

std::string OnnxGraph::node(const std::string& op, const std::vector<std::string>& inputs) {
  onnx::NodeProto& node = *graph_.add_node();
  const std::string output = fmt::format("{}_{}", op, nodes_++);
  node.set_op_type(op);
  node.set_name(output);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return output;
}

const std::string& OnnxGraph::name_of(const Slot* slot) const {
  const auto found = names_.find(slot);
  if (found == names_.end())
    throw Error(ExitCode::usage, "onnx", slot->name,
                "the ONNX export does not know the operation that made it",
                "export to a .safetensors or to a folder");
  return found->second;
}

const Word* OnnxGraph::normalization_of(const Word& convolution) const {
  const Word* norm = nullptr;
  int uses = 0;
  for (const Word& word : tape_.words) {
    const auto count = std::ranges::count(word.inputs, convolution.output);
    uses += static_cast<int>(count);
    if (count > 0 && word.op == "batch_norm" && word.inputs[0] == convolution.output) norm = &word;
  }
  return uses == 1 ? norm : nullptr;
}

const Word* OnnxGraph::convolution_of(const Word& normalization) const {
  const auto made = std::ranges::find(tape_.words, normalization.inputs[0], &Word::output);
  if (made == tape_.words.end() || made->op != "conv2d") return nullptr;
  return normalization_of(*made) == &normalization ? &*made : nullptr;
}

void OnnxGraph::bare_convolution(const Word& word) {
  if (!normalization_of(word)) convolution(word, nullptr);
}

// With a normalisation, y = gamma (conv(x) + b - mean) / std + beta is a convolution of other
// filters and another bias.
void OnnxGraph::convolution(const Word& word, const Word* norm) {
  const Slot* weight = word.inputs[1];
  const Slot* bias = word.inputs[2];
  std::vector<float> filters = values(weight), shift;
  if (bias) shift = values(bias);
  if (norm) {
    const std::vector<float> gamma = values(norm->inputs[1]), beta = values(norm->inputs[2]),
                             mean = values(norm->inputs[3]), variance = values(norm->inputs[4]);
    shift.resize(gamma.size());
    const std::size_t size = filters.size() / gamma.size();
    for (std::size_t k = 0; k < gamma.size(); ++k) {
      const double scale = gamma[k] / std::sqrt(double{variance[k]} + norm->attributes.at("eps"));
      for (std::size_t i = k * size; i < (k + 1) * size; ++i)
        filters[i] = static_cast<float>(filters[i] * scale);
      shift[k] = static_cast<float>((double{shift[k]} - mean[k]) * scale + beta[k]);
    }
  }
  Sizes sizes = weight->parameter->file_shape();
  sizes.resize(4, 1);  // a linear layer's has two
  std::vector<std::string> inputs = {name_of(word.inputs[0]),
                                     constant(weight->name, sizes, filters)};
  if (!shift.empty())
    inputs.push_back(constant(word.path + "bias", {std::int64_t(shift.size())}, shift));
  std::string y = node("Conv", inputs);
  const std::int64_t k = word.integer("kernel"), s = word.integer("stride"),
                     p = word.integer("padding"), d = word.integer("dilation");
  ints("kernel_shape", {k, k});
  ints("strides", {s, s});
  ints("pads", {p, p, p, p});
  ints("dilations", {d, d});
  integer("group", word.integer("groups"));
  if (norm)
    names_[norm->output] = residual_and_act(*norm, y);
  else
    names_[word.output] = y;
}

void OnnxGraph::transposed_convolution(const Word& word) {
  std::vector<std::string> inputs = {name_of(word.inputs[0]), parameter(word.inputs[1])};
  if (word.inputs[2]) inputs.push_back(parameter(word.inputs[2]));
  names_[word.output] = node("ConvTranspose", inputs);
  const std::int64_t k = word.integer("kernel"), s = word.integer("stride"),
                     p = word.integer("padding");
  ints("kernel_shape", {k, k});
  ints("strides", {s, s});
  ints("pads", {p, p, p, p});
}

void OnnxGraph::batch_norm(const Word& word) {
  if (const Word* conv = convolution_of(word)) return convolution(*conv, &word);
  std::vector<std::string> inputs = {name_of(word.inputs[0])};
  for (int i = 1; i <= 4; ++i) inputs.push_back(parameter(word.inputs[i]));
  const std::string y = node("BatchNormalization", inputs);
  epsilon(word);
  names_[word.output] = residual_and_act(word, y);
}

void OnnxGraph::instance_norm(const Word& word) {
  const std::string y =
      node("InstanceNormalization",
           {name_of(word.inputs[0]), parameter(word.inputs[1]), parameter(word.inputs[2])});
  epsilon(word);
  names_[word.output] = activation(act_of(word), y);
}

void OnnxGraph::epsilon(const Word& norm) {
  onnx::AttributeProto& eps = *last().add_attribute();
  eps.set_name("epsilon");
  eps.set_type(onnx::AttributeProto::FLOAT);
  eps.set_f(static_cast<float>(norm.attributes.at("eps")));
}

std::string OnnxGraph::residual_and_act(const Word& norm, std::string value) {
  if (norm.inputs[5]) value = node("Add", {value, name_of(norm.inputs[5])});
  return activation(act_of(norm), value);
}

std::string OnnxGraph::activation(Act act, const std::string& x) {
  switch (act) {
    case Act::none:
      return x;
    case Act::relu:
      return node("Relu", {x});
    case Act::relu6:
      return node("Clip", {x, constant(fmt::format("zero_{}", nodes_), {}, {0}),
                           constant(fmt::format("six_{}", nodes_), {}, {6})});
    case Act::silu:
      return node("Mul", {x, node("Sigmoid", {x})});
    case Act::sigmoid:
      return node("Sigmoid", {x});
  }
  return x;
}

std::vector<float> OnnxGraph::values(const Slot* slot) const {
  return tape_.parameters.file_values(*slot->parameter);
}

std::string OnnxGraph::constant(const std::string& name, const Sizes& shape,
                                const std::vector<float>& values) {
  onnx::TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (const std::int64_t size : shape) tensor.add_dims(size);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return name;
}

std::string OnnxGraph::constant(const std::string& name, const Sizes& values) {
  onnx::TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.add_dims(static_cast<std::int64_t>(values.size()));
  tensor.set_raw_data(values.data(), values.size() * sizeof(std::int64_t));
  return name;
}

std::string OnnxGraph::parameter(const Slot* slot) {
  return constant(slot->name, slot->parameter->file_shape(), values(slot));
}

void OnnxGraph::ints(const std::string& attribute, const Sizes& values) {
  onnx::AttributeProto& proto = *last().add_attribute();
  proto.set_name(attribute);
  proto.set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) proto.add_ints(value);
}

void OnnxGraph::integer(const std::string& attribute, std::int64_t value) {
  onnx::AttributeProto& proto = *last().add_attribute();
  proto.set_name(attribute);
  proto.set_type(onnx::AttributeProto::INT);
  proto.set_i(value);
}

void OnnxGraph::text(const std::string& attribute, const std::string& value) {
  onnx::AttributeProto& proto = *last().add_attribute();
  proto.set_name(attribute);
  proto.set_type(onnx::AttributeProto::STRING);
  proto.set_s(value);
}

}  // namespace fjord
