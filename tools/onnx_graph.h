// The words of a tape as nodes of an ONNX graph (operators of opset 17), with images as
// n x c x h x w and any number and size of them.
#pragma once

#include <onnx.pb.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tape.h"
#include "kernels/spatial.h"
#include "models/models.h"

namespace fjord {

class OnnxGraph {
 public:
  /// The tape must outlive this. Its parameters are read from the host.
  OnnxGraph(const Tape& tape, onnx::GraphProto& graph) : tape_(tape), graph_(graph) {}

  /// The images that are given.
  void input(Tensor images, const std::string& name);
  /// Writes every word. Throws Error{usage, "onnx"} for one that ONNX has no operator for.
  void write();
  /// What comes out, n x classes x h x w, after the activation and named by what it gives.
  void masks(Tensor logits, FinalActivation activation);
  /// "scores" of a classification head, n x classes.
  void scores(Tensor logits, FinalActivation activation);

  /// A size that the file fixes, or the name of one that it leaves open.
  struct Extent {
    std::string name = {};
    std::int64_t size = 0;
  };

 private:
  void finish(const std::string& x, FinalActivation activation);
  void output(const std::string& name, std::vector<Extent> extents, FinalActivation activation);
  /// A node of one output, whose name is given back.
  std::string node(const std::string& op, const std::vector<std::string>& inputs);
  onnx::NodeProto& last() { return *graph_.mutable_node(graph_.node_size() - 1); }
  const std::string& name_of(const Slot* slot) const;

  void write(const Word& word);
  static void demand(bool ok, const Word& word, std::string_view why);
  void bare_convolution(const Word& word);
  void convolution(const Word& word, const Word* norm);
  void transposed_convolution(const Word& word);
  void batch_norm(const Word& word);
  void instance_norm(const Word& word);
  void epsilon(const Word& norm);
  std::string residual_and_act(const Word& norm, std::string value);
  std::string activation(Act act, const std::string& x);
  void window(const Word& word);
  void max_pool(const Word& word);
  void avg_pool(const Word& word);
  void pad(const Word& word);
  void resize(const Word& word);
  void upsample_concat(const Word& word);
  std::string resized(const Word& word, const Slot* y, Interpolation mode);

  void fold_channels(const Word& word);
  void split_softmax(const Word& word);
  void matrix_multiply(const Word& word);
  void transposed(const Word& word);
  std::string reshaped(const std::string& x, const std::vector<std::int64_t>& sizes);
  std::string permuted(const std::string& x, const std::vector<std::int64_t>& axes);
  std::string image_like(const std::string& x, std::int64_t channels, const Slot* like);

  const Word* normalization_of(const Word& convolution) const;
  const Word* convolution_of(const Word& normalization) const;
  std::vector<float> values(const Slot* parameter) const;
  std::string constant(const std::string& name, const std::vector<std::int64_t>& shape,
                       const std::vector<float>& values);
  std::string constant(const std::string& name, const std::vector<std::int64_t>& values);
  std::string parameter(const Slot* slot);
  void ints(const std::string& attribute, const std::vector<std::int64_t>& values);
  void integer(const std::string& attribute, std::int64_t value);
  void text(const std::string& attribute, const std::string& value);

  const Tape& tape_;
  onnx::GraphProto& graph_;
  std::map<const Slot*, std::string> names_;
  int nodes_ = 0;
};

}  // namespace fjord
