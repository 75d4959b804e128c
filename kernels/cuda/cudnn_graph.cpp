// A convolution with its epilogue as a cuDNN operation graph.
#include "kernels/cuda/cudnn_graph.h"

#include "kernels/error.h"

namespace fjord::cuda {

namespace {

cudnnDataType_t data_type(DType type) {
  switch (type) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    default:
      throw Error(ExitCode::bug, "dtype", "convolution", "it computes in f32, bf16 and f16",
                  "report this");
  }
}

// What each kind of convolution calls its operands.
struct Names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t first, second, result, conv, alpha, beta;
};

Names names_of(ConvPass pass) {
  if (pass == ConvPass::forward)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
  if (pass == ConvPass::backward_data)
    return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

struct Operands {
  Shape first, second, result;
};

Operands operands_of(const ConvProblem& p) {
  if (p.pass == ConvPass::forward) return {p.image, p.filter, p.output};
  if (p.pass == ConvPass::backward_data) return {p.output, p.filter, p.image};
  return {p.image, p.output, p.filter};
}

enum class Memory : std::uint8_t { real, virtual_ };  // virtual: between operations, never stored

// cuDNN names dimensions N, C, H, W (K, C, R, S); the strides make it NHWC (KRSC).
Descriptor tensor(ConvTensor id, Shape shape, cudnnDataType_t type, Memory memory = Memory::real) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, static_cast<std::int64_t>(id));
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16});
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS,
        std::vector<std::int64_t>{shape.n, shape.c, shape.h, shape.w});
  d.set(CUDNN_ATTR_TENSOR_STRIDES,
        std::vector<std::int64_t>{shape.h * shape.w * shape.c, 1, shape.w * shape.c, shape.c});
  if (memory == Memory::virtual_) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  d.finalize("cuDNN tensor");
  return d;
}

Descriptor convolution(const Conv2d& conv) {
  const auto twice = [](int value) { return std::vector<std::int64_t>{value, value}; };
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, twice(conv.padding));
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, twice(conv.padding));
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, twice(conv.stride));
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, twice(conv.dilation));
  d.finalize("cuDNN convolution");
  return d;
}

// Collects descriptors; indices stay valid while it grows.
struct Builder {
  std::vector<Descriptor> parts;
  std::vector<cudnnBackendDescriptor_t> operations;

  std::size_t keep(Descriptor d) {
    parts.push_back(std::move(d));
    return parts.size() - 1;
  }
  void operation(Descriptor d) {
    d.finalize("cuDNN operation");
    operations.push_back(parts[keep(std::move(d))].raw());
  }
  // y = mode(x, b); b is left out for one operand.
  void pointwise(cudnnPointwiseMode_t mode, std::size_t x, const std::size_t* b, std::size_t y) {
    Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    what.finalize("cuDNN pointwise");
    const std::size_t kept = keep(std::move(what));
    Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, parts[kept]);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, parts[x]);
    if (b) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, parts[*b]);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, parts[y]);
    operation(std::move(d));
  }
};

void convolve(Builder& graph, const ConvProblem& problem, std::size_t result) {
  const Operands shapes = operands_of(problem);
  const cudnnDataType_t type = data_type(problem.dtype);
  const Names names = names_of(problem.pass);
  const std::size_t first = graph.keep(tensor(ConvTensor::first, shapes.first, type));
  const std::size_t second = graph.keep(tensor(ConvTensor::second, shapes.second, type));
  const std::size_t conv = graph.keep(convolution(problem.conv));
  Descriptor d(names.type);
  d.set(names.first, graph.parts[first]);
  d.set(names.second, graph.parts[second]);
  d.set(names.result, graph.parts[result]);
  d.set(names.conv, graph.parts[conv]);
  d.set(names.alpha, 1.0f);
  d.set(names.beta, problem.epilogue.add ? 1.0f : 0.0f);
  graph.operation(std::move(d));
}

}  // namespace

ConvGraph conv_graph(const ConvProblem& problem) {
  const Shape shape = operands_of(problem).result;
  const cudnnDataType_t type = data_type(problem.dtype);
  const ConvEpilogue& epilogue = problem.epilogue;
  Builder graph;
  // The chain of values: convolution, + bias, + residual, relu; the last of them is the result.
  int left = (epilogue.bias ? 1 : 0) + (epilogue.residual ? 1 : 0) + (epilogue.relu ? 1 : 0);
  std::int64_t next_id = static_cast<std::int64_t>(ConvTensor::virtual_);
  const auto next_value = [&] {
    return graph.keep(
        left-- == 0 ? tensor(ConvTensor::result, shape, type)
                    : tensor(ConvTensor{next_id++}, shape, CUDNN_DATA_FLOAT, Memory::virtual_));
  };
  std::size_t value = next_value();
  convolve(graph, problem, value);
  const auto then = [&](cudnnPointwiseMode_t mode, const std::size_t* operand) {
    const std::size_t y = next_value();
    graph.pointwise(mode, value, operand, y);
    value = y;
  };
  if (epilogue.bias) {
    const std::size_t bias =
        graph.keep(tensor(ConvTensor::bias, {1, 1, 1, shape.c}, CUDNN_DATA_FLOAT));
    then(CUDNN_POINTWISE_ADD, &bias);
  }
  if (epilogue.residual) {
    const std::size_t residual = graph.keep(tensor(ConvTensor::residual, shape, type));
    then(CUDNN_POINTWISE_ADD, &residual);
  }
  if (epilogue.relu) then(CUDNN_POINTWISE_RELU_FWD, nullptr);

  ConvGraph made;
  made.graph = Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  made.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operations);
  made.graph.finalize("cuDNN operation graph");
  made.parts = std::move(graph.parts);
  return made;
}

}  // namespace fjord::cuda
