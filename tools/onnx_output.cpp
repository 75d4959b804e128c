// What a graph ends with, as SMP's module does, and how it describes what goes in and comes out.
#include "tools/onnx_graph.h"

namespace fjord {

namespace {

using Extent = OnnxGraph::Extent;

void describe(onnx::ValueInfoProto& value, const std::string& name,
              const std::vector<Extent>& extents,
              onnx::TensorProto::DataType type = onnx::TensorProto::FLOAT) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  onnx::TensorShapeProto& shape = *tensor.mutable_shape();  // also without extents: a single number
  for (const Extent& extent : extents) {
    onnx::TensorShapeProto::Dimension& dimension = *shape.add_dim();
    if (extent.name.empty())
      dimension.set_dim_value(extent.size);
    else
      dimension.set_dim_param(extent.name);
  }
}

std::vector<Extent> images(std::int64_t channels) {
  return {{"batch"}, {.size = channels}, {"height"}, {"width"}};
}

// By what the values mean.
std::string name_of_masks(FinalActivation activation) {
  switch (activation) {
    case FinalActivation::none:
      return "logits";
    case FinalActivation::sigmoid:
    case FinalActivation::softmax:
    case FinalActivation::softmax2d:
      return "probabilities";
    case FinalActivation::logsoftmax:
      return "log_probabilities";
    case FinalActivation::argmax:
      return "index";
    case FinalActivation::argmax2d:
      return "classes";
    case FinalActivation::tanh:
    case FinalActivation::clamp:
      return "masks";
  }
  return "masks";
}

}  // namespace

void OnnxGraph::input(Tensor image, const std::string& name) {
  names_[image.slot] = name;
  describe(*graph_.add_input(), name, images(image.c()));
}

// Of masks, n x c x h x w, and of scores, n x c, softmax without a dimension is over the second.
void OnnxGraph::finish(const std::string& x, FinalActivation activation) {
  switch (activation) {
    case FinalActivation::none:
      node("Identity", {x});
      break;
    case FinalActivation::sigmoid:
      node("Sigmoid", {x});
      break;
    case FinalActivation::softmax:
    case FinalActivation::softmax2d:
      node("Softmax", {x});
      integer("axis", 1);
      break;
    case FinalActivation::logsoftmax:
      node("LogSoftmax", {x});
      integer("axis", 1);
      break;
    case FinalActivation::tanh:
      node("Tanh", {x});
      break;
    case FinalActivation::argmax:  // without a dimension: of all values of all images
      node("ArgMax", {reshaped(x, {-1})});
      integer("keepdims", 0);
      break;
    case FinalActivation::argmax2d:
      node("ArgMax", {x});
      integer("axis", 1);
      integer("keepdims", 0);
      break;
    case FinalActivation::clamp:
      node("Clip", {x, constant(fmt::format("zero_{}", nodes_), {}, {0}),
                    constant(fmt::format("one_{}", nodes_), {}, {1})});
      break;
  }
}

void OnnxGraph::output(const std::string& name, std::vector<Extent> extents,
                       FinalActivation activation) {
  last().set_output(0, name);
  const bool index = activation == FinalActivation::argmax,
             classes = activation == FinalActivation::argmax2d;
  if (index) extents.clear();
  if (classes) extents.erase(extents.begin() + 1);
  describe(*graph_.add_output(), name, extents,
           index || classes ? onnx::TensorProto::INT64 : onnx::TensorProto::FLOAT);
}

void OnnxGraph::masks(Tensor logits, FinalActivation activation) {
  finish(name_of(logits.slot), activation);
  output(name_of_masks(activation), images(logits.c()), activation);
}

void OnnxGraph::scores(Tensor logits, FinalActivation activation) {
  finish(node("Flatten", {name_of(logits.slot)}), activation);
  output("scores", {{"batch"}, {.size = logits.c()}}, activation);
}

}  // namespace fjord
