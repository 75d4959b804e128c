// Operators by their definitions, on n x c x h x w.
#include "onnx_run.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "user.h"

namespace fjord::test {

namespace {

using Sizes = std::vector<std::int64_t>;

class Node {
 public:
  Node(const onnx::NodeProto& proto, std::map<std::string, OnnxValue>& values)
      : proto_(proto), values_(values) {}

  const OnnxValue& in(int i) const { return values_.at(proto_.input(i)); }
  bool has(int i) const { return i < proto_.input_size() && !proto_.input(i).empty(); }
  Sizes ints(const std::string& name) const {
    for (const onnx::AttributeProto& a : proto_.attribute())
      if (a.name() == name) return {a.ints().begin(), a.ints().end()};
    FAIL("no attribute " << name);
    return {};
  }
  /// Whether every number of a list that may be absent is this one.
  bool all(const std::string& name, std::int64_t number) const {
    for (const onnx::AttributeProto& a : proto_.attribute())
      if (a.name() == name && std::ranges::count(a.ints(), number) != a.ints_size()) return false;
    return true;
  }
  std::int64_t integer(const std::string& name, std::int64_t otherwise) const {
    for (const onnx::AttributeProto& a : proto_.attribute())
      if (a.name() == name) return a.i();
    return otherwise;
  }
  std::string text(const std::string& name) const {
    for (const onnx::AttributeProto& a : proto_.attribute())
      if (a.name() == name) return a.s();
    return "";
  }

 private:
  const onnx::NodeProto& proto_;
  std::map<std::string, OnnxValue>& values_;
};

OnnxValue images(Sizes shape) {
  const auto count = static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]);
  return {std::move(shape), std::vector<float>(count), {}};
}

float& at(OnnxValue& x, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  return x.floats[((n * x.shape[1] + c) * x.shape[2] + h) * x.shape[3] + w];
}
float at(const OnnxValue& x, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  return x.floats[((n * x.shape[1] + c) * x.shape[2] + h) * x.shape[3] + w];
}

template <class F>
void for_each(const Sizes& shape, F f) {
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t c = 0; c < shape[1]; ++c)
      for (std::int64_t h = 0; h < shape[2]; ++h)
        for (std::int64_t w = 0; w < shape[3]; ++w) f(n, c, h, w);
}

// The pixels of a window that lie inside.
template <class F>
void for_window(const Node& node, const OnnxValue& x, std::int64_t h, std::int64_t w, F f) {
  const std::int64_t k = node.ints("kernel_shape")[0], s = node.ints("strides")[0],
                     p = node.ints("pads")[0];
  for (std::int64_t r = 0; r < k; ++r)
    for (std::int64_t q = 0; q < k; ++q) {
      const std::int64_t y = h * s - p + r, z = w * s - p + q;
      if (y >= 0 && y < x.shape[2] && z >= 0 && z < x.shape[3]) f(r, q, y, z);
    }
}

std::int64_t windows(const Node& node, std::int64_t size) {
  const std::int64_t s = node.ints("strides")[0], up = node.integer("ceil_mode", 0) ? s - 1 : 0;
  return (size + 2 * node.ints("pads")[0] - node.ints("kernel_shape")[0] + up) / s + 1;
}

OnnxValue convolve(const Node& node) {
  const OnnxValue &x = node.in(0), &weight = node.in(1);
  OnnxValue y =
      images({x.shape[0], weight.shape[0], windows(node, x.shape[2]), windows(node, x.shape[3])});
  for_each(y.shape, [&](auto n, auto k, auto h, auto w) {
    double sum = node.has(2) ? node.in(2).floats[k] : 0;
    for_window(node, x, h, w, [&](auto r, auto q, auto i, auto j) {
      for (std::int64_t c = 0; c < x.shape[1]; ++c)
        sum += double{at(weight, k, c, r, q)} * at(x, n, c, i, j);
    });
    at(y, n, k, h, w) = static_cast<float>(sum);
  });
  return y;
}

OnnxValue max_pool(const Node& node) {
  const OnnxValue& x = node.in(0);
  OnnxValue y =
      images({x.shape[0], x.shape[1], windows(node, x.shape[2]), windows(node, x.shape[3])});
  for_each(y.shape, [&](auto n, auto c, auto h, auto w) {
    float most = -INFINITY;
    for_window(node, x, h, w,
               [&](auto, auto, auto i, auto j) { most = std::max(most, at(x, n, c, i, j)); });
    at(y, n, c, h, w) = most;
  });
  return y;
}

OnnxValue resize(const Node& node) {
  CHECK(node.text("mode") == "nearest");
  CHECK(node.text("coordinate_transformation_mode") == "asymmetric");
  const OnnxValue& x = node.in(0);
  OnnxValue y = images(node.in(3).integers);
  for_each(y.shape, [&](auto n, auto c, auto h, auto w) {
    at(y, n, c, h, w) = at(x, n, c, h * x.shape[2] / y.shape[2], w * x.shape[3] / y.shape[3]);
  });
  return y;
}

OnnxValue concat(const Node& node) {
  const OnnxValue &a = node.in(0), &b = node.in(1);
  if (!a.integers.empty()) {
    OnnxValue y = a;
    y.integers.insert(y.integers.end(), b.integers.begin(), b.integers.end());
    return y;
  }
  OnnxValue y = images({a.shape[0], a.shape[1] + b.shape[1], a.shape[2], a.shape[3]});
  for_each(y.shape, [&](auto n, auto c, auto h, auto w) {
    at(y, n, c, h, w) = c < a.shape[1] ? at(a, n, c, h, w) : at(b, n, c - a.shape[1], h, w);
  });
  return y;
}

OnnxValue pool_all(const std::string& op, const OnnxValue& x) {
  OnnxValue y = images({x.shape[0], x.shape[1], 1, 1});
  for_each(y.shape, [&](auto n, auto c, auto, auto) {
    float most = -INFINITY, sum = 0;
    for_each({1, 1, x.shape[2], x.shape[3]}, [&](auto, auto, auto h, auto w) {
      most = std::max(most, at(x, n, c, h, w));
      sum += at(x, n, c, h, w);
    });
    at(y, n, c, 0, 0) =
        op == "GlobalMaxPool" ? most : sum / static_cast<float>(x.shape[2] * x.shape[3]);
  });
  return y;
}

OnnxValue flatten(OnnxValue x) {
  x.shape = {x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]};
  return x;
}

// The first of the largest: over the channels, or of all values of a row.
OnnxValue arg_max(const Node& node) {
  CHECK(node.integer("keepdims", 1) == 0);
  const OnnxValue& x = node.in(0);
  if (x.shape.size() == 1) return {{}, {}, {std::ranges::max_element(x.floats) - x.floats.begin()}};
  CHECK(node.integer("axis", 0) == 1);
  OnnxValue y{{x.shape[0], x.shape[2], x.shape[3]}, {}, {}};
  for_each({x.shape[0], 1, x.shape[2], x.shape[3]}, [&](auto n, auto, auto h, auto w) {
    std::int64_t most = 0;
    for (std::int64_t c = 1; c < x.shape[1]; ++c)
      if (at(x, n, c, h, w) > at(x, n, most, h, w)) most = c;
    y.integers.push_back(most);
  });
  return y;
}

OnnxValue softmax(OnnxValue x) {
  for_each({x.shape[0], 1, x.shape[2], x.shape[3]}, [&](auto n, auto, auto h, auto w) {
    double sum = 0;
    for (std::int64_t c = 0; c < x.shape[1]; ++c) sum += std::exp(at(x, n, c, h, w));
    for (std::int64_t c = 0; c < x.shape[1]; ++c)
      at(x, n, c, h, w) = static_cast<float>(std::exp(at(x, n, c, h, w)) / sum);
  });
  return x;
}

OnnxValue shape_of(const Node& node) {
  const Sizes& shape = node.in(0).shape;
  return {{},
          {},
          {shape.begin() + node.integer("start", 0),
           shape.begin() + node.integer("end", std::int64_t(shape.size()))}};
}

// A window is walked with one padding and one stride, over all channels.
void demand_plain_window(const std::string& op, const Node& node) {
  if (node.integer("group", 1) != 1) FAIL(op << " in groups");
  // Else a last window could lie in the border alone.
  if (node.integer("ceil_mode", 0) != 0 && !node.all("pads", 0)) FAIL(op << " with ceil_mode");
  if (!node.all("dilations", 1)) FAIL(op << " with dilations");
  for (const char* name : {"pads", "strides", "kernel_shape"})
    if (const Sizes sizes = node.ints(name); !node.all(name, sizes.at(0)))
      FAIL(op << " with uneven " << name);
}

OnnxValue result(const std::string& op, const Node& node) {
  if (op == "Conv" || op == "MaxPool") demand_plain_window(op, node);
  OnnxValue x = node.in(0);
  if (op == "Conv") return convolve(node);
  if (op == "MaxPool") return max_pool(node);
  if (op == "Resize") return resize(node);
  if (op == "Concat") return concat(node);
  if (op == "Shape") return shape_of(node);
  if (op == "Softmax" || op == "LogSoftmax") CHECK(node.integer("axis", -1) == 1);
  if (op == "Softmax") return softmax(std::move(x));
  if (op == "GlobalAveragePool" || op == "GlobalMaxPool") return pool_all(op, x);
  if (op == "Flatten") return flatten(std::move(x));
  if (op == "ArgMax") return arg_max(node);
  if (op == "Reshape") {
    CHECK(node.in(1).integers == Sizes{-1});
    x.shape = {static_cast<std::int64_t>(x.floats.size())};
    return x;
  }
  const bool logarithm = op == "LogSoftmax";
  if (logarithm) x = softmax(std::move(x));
  if (op == "Identity") return x;
  for (std::size_t i = 0; i < x.floats.size(); ++i) {
    float& value = x.floats[i];
    if (op == "Relu")
      value = std::max(value, 0.f);
    else if (op == "Add")
      value += node.in(1).floats[i];
    else if (op == "Sigmoid")
      value = 1 / (1 + std::exp(-value));
    else if (op == "Tanh")
      value = std::tanh(value);
    else if (op == "Clip")
      value = std::clamp(value, node.in(1).floats.at(0), node.in(2).floats.at(0));
    else if (logarithm)
      value = std::log(value);
    else
      FAIL("operator " << op);
  }
  return x;
}

OnnxValue value_of(const onnx::TensorProto& tensor) {
  OnnxValue value{{tensor.dims().begin(), tensor.dims().end()}, {}, {}};
  const std::string& bytes = tensor.raw_data();
  if (tensor.data_type() == onnx::TensorProto::INT64) {
    value.integers.resize(bytes.size() / sizeof(std::int64_t));
    std::memcpy(value.integers.data(), bytes.data(), bytes.size());
  } else {
    value.floats.resize(bytes.size() / sizeof(float));
    std::memcpy(value.floats.data(), bytes.data(), bytes.size());
  }
  return value;
}

}  // namespace

onnx::ModelProto read_onnx(const std::filesystem::path& path) {
  onnx::ModelProto model;
  REQUIRE(model.ParseFromString(read_text(path)));
  return model;
}

std::string metadata(const onnx::ModelProto& model, const std::string& key) {
  for (const onnx::StringStringEntryProto& entry : model.metadata_props())
    if (entry.key() == key) return entry.value();
  return "";
}

OnnxValue run_onnx(const onnx::ModelProto& model, OnnxValue input, int output) {
  const onnx::GraphProto& graph = model.graph();
  std::map<std::string, OnnxValue> values;
  for (const onnx::TensorProto& tensor : graph.initializer())
    values[tensor.name()] = value_of(tensor);
  values[graph.input(0).name()] = std::move(input);
  for (const onnx::NodeProto& node : graph.node())
    values[node.output(0)] = result(node.op_type(), Node(node, values));
  return values.at(graph.output(output).name());
}

}  // namespace fjord::test
