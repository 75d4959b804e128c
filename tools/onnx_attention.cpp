// Split attention and attention between pixels as ONNX nodes. A matrix of the engine has a row a
// pixel and a column a channel; here images are channels first, so matrices are transposed.
#include "tools/onnx_graph.h"

namespace fjord {

namespace {

using Sizes = std::vector<std::int64_t>;

bool is_vector(Shape shape) { return shape.h == 1 && shape.w == 1; }

}  // namespace

// In the lists of sizes 0 means: as it was, -1: the rest.
std::string OnnxGraph::reshaped(const std::string& x, const Sizes& sizes) {
  return node("Reshape", {x, constant(fmt::format("sizes_{}", nodes_), sizes)});
}

std::string OnnxGraph::permuted(const std::string& x, const Sizes& axes) {
  const std::string y = node("Transpose", {x});
  ints("perm", axes);
  return y;
}

// x, whose first axis is the image, with so many channels and the pixels of another tensor.
std::string OnnxGraph::image_like(const std::string& x, std::int64_t channels, const Slot* like) {
  const std::string pixels = node("Shape", {name_of(like)});
  integer("start", 2);
  const std::string size =
      node("Concat", {constant(fmt::format("sizes_{}", nodes_), {0, channels}), pixels});
  integer("axis", 0);
  return node("Reshape", {x, size});
}

void OnnxGraph::fold_channels(const Word& word) {
  const int groups = word.integer("groups");
  node("Split", {name_of(word.inputs[0])});
  integer("axis", 1);
  std::vector<std::string> parts = {last().output(0)};
  for (int i = 1; i < groups; ++i) {
    parts.push_back(fmt::format("{}_part_{}", parts[0], i));
    last().add_output(parts.back());
  }
  names_[word.output] = node("Sum", parts);
}

void OnnxGraph::split_softmax(const Word& word) {
  const Shape shape = word.inputs[0]->shape;
  const std::string x = name_of(word.inputs[0]);
  const int groups = word.integer("groups"), splits = word.integer("splits");
  demand(is_vector(shape), word, "it is exported for vectors alone");
  // All values of an image, however many: of pairs of pixels there are others in other images.
  const bool all = groups == 1 && shape.c == splits;
  const std::string y = node("Softmax", {all ? x : reshaped(x, {0, groups, splits, -1})});
  integer("axis", all ? 1 : 2);
  names_[word.output] = all ? y : reshaped(permuted(y, {0, 2, 1, 3}), {0, -1, 1, 1});
}

void OnnxGraph::matrix_multiply(const Word& word) {
  const Slot *a = word.inputs[0], *b = word.inputs[1], *y = word.output;
  const int rows = word.integer("rows"), columns = word.integer("columns"),
            inner = word.integer("inner");
  const bool transposed = word.integer("transpose_b"), pixels = a->shape.c == inner;
  demand(b->shape.c == (transposed ? inner : columns) && (pixels || is_vector(a->shape)), word,
         "its second factor is exported as an image alone");
  std::string right = reshaped(name_of(b), {0, b->shape.c, -1});
  if (!transposed) right = permuted(right, {0, 2, 1});
  std::string left;
  if (pixels) {
    left = permuted(reshaped(name_of(a), {0, inner, -1}), {0, 2, 1});
  } else {
    const std::string width = node("Shape", {right});
    integer("start", 1);
    integer("end", 2);
    const std::string size =
        node("Concat", {constant(fmt::format("sizes_{}", nodes_), {0, -1}), width});
    integer("axis", 0);
    left = node("Reshape", {name_of(a), size});
  }
  const std::string product = node("MatMul", {left, right});
  const Shape like = b->shape;
  if (is_vector(y->shape)) {
    names_[y] = reshaped(product, {0, -1, 1, 1});
  } else {
    demand(y->shape.c == columns && y->shape.h == like.h && y->shape.w == like.w &&
               rows == like.h * like.w,
           word, "its product is exported as an image of its second factor's size alone");
    names_[y] = image_like(permuted(product, {0, 2, 1}), columns, b);
  }
}

// Values in the engine's order, read as rows of pixels: one row is one channel.
void OnnxGraph::transposed(const Word& word) {
  const Slot* x = word.inputs[0];
  demand(word.integer("rows") == x->shape.c, word, "it is exported with a row a channel alone");
  names_[word.output] = image_like(permuted(name_of(x), {0, 2, 3, 1}), x->shape.c, x);
}

}  // namespace fjord
