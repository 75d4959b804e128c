// Pooling, borders and resizing as ONNX nodes.
#include "tools/onnx_graph.h"

namespace fjord {

void OnnxGraph::window(const Word& word) {
  const std::int64_t k = word.integer("kernel"), s = word.integer("stride"),
                     p = word.integer("padding");
  ints("kernel_shape", {k, k});
  ints("strides", {s, s});
  ints("pads", {p, p, p, p});
}

void OnnxGraph::max_pool(const Word& word) {
  // A window over all pixels, as a classification head's: of other images they are more or fewer.
  if (word.output->shape.h == 1 && word.output->shape.w == 1) {
    names_[word.output] = node("GlobalMaxPool", {name_of(word.inputs[0])});
    return;
  }
  names_[word.output] = node("MaxPool", {name_of(word.inputs[0])});
  window(word);
  integer("ceil_mode", word.integer("ceil"));
}

void OnnxGraph::avg_pool(const Word& word) {
  const int ceil = word.integer("ceil"), padding = word.integer("count_padding");
  demand(!ceil || !padding, word, "ONNX's readers divide the last window by different numbers");
  names_[word.output] = node("AveragePool", {name_of(word.inputs[0])});
  window(word);
  integer("ceil_mode", ceil);
  integer("count_include_pad", padding);
}

void OnnxGraph::pad(const Word& word) {
  const std::vector<std::int64_t> border = {0, 0, word.integer("top"),    word.integer("left"),
                                            0, 0, word.integer("bottom"), word.integer("right")};
  names_[word.output] =
      node("Pad", {name_of(word.inputs[0]), constant(fmt::format("border_{}", nodes_), border)});
}

void OnnxGraph::resize(const Word& word) {
  names_[word.output] =
      resized(word, word.output, static_cast<Interpolation>(word.integer("mode")));
}

void OnnxGraph::upsample_concat(const Word& word) {
  const Slot *low = word.inputs[0], *skip = word.inputs[1], *like = skip ? skip : word.output;
  const bool enlarged = low->shape.h == like->shape.h && low->shape.w == like->shape.w;
  const std::string y = enlarged ? name_of(low) : resized(word, like, Interpolation::nearest);
  names_[word.output] = skip ? node("Concat", {y, name_of(skip)}) : y;
  if (skip) integer("axis", 1);
}

// The size that is wanted is that of the first tensor which had it while recording: the image or a
// feature of it. The recorded image has another size at every level, so that this is no accident.
std::string OnnxGraph::resized(const Word& word, const Slot* y, Interpolation mode) {
  demand(mode != Interpolation::area, word, "ONNX resizes by no averages of areas");
  const Slot *x = word.inputs[0], *like = names_.contains(y) ? y : nullptr;
  for (const Word& earlier : tape_.words)
    for (const Slot* input : earlier.inputs)
      if (!like && input && names_.contains(input) && input->shape.h == y->shape.h &&
          input->shape.w == y->shape.w)
        like = input;
  demand(like != nullptr, word, "nothing else in the network has the size that it resizes to");
  const std::string batch = node("Shape", {name_of(x)});
  integer("end", 2);
  const std::string pixels = node("Shape", {name_of(like)});
  integer("start", 2);
  const std::string size = node("Concat", {batch, pixels});
  integer("axis", 0);
  const bool nearest = mode == Interpolation::nearest || mode == Interpolation::nearest_exact;
  const std::string output = node("Resize", {name_of(x), "", "", size});
  text("mode", nearest ? "nearest" : mode == Interpolation::bilinear ? "linear" : "cubic");
  const bool corners = mode == Interpolation::nearest;
  text("coordinate_transformation_mode", corners ? "asymmetric" : "half_pixel");
  if (nearest) text("nearest_mode", corners ? "floor" : "round_prefer_ceil");
  return output;
}

}  // namespace fjord
