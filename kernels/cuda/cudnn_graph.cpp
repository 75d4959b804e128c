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
  std::int64_t next_virtual = static_cast<std::int64_t>(ConvTensor::virtual_);

  std::size_t keep(Descriptor d) {
    parts.push_back(std::move(d));
    return parts.size() - 1;
  }
  void operation(Descriptor d) {
    d.finalize("cuDNN operation");
    operations.push_back(parts[keep(std::move(d))].raw());
  }
  // An f32 value between operations.
  std::size_t between(Shape shape) {
    return keep(tensor(ConvTensor{next_virtual++}, shape, CUDNN_DATA_FLOAT, Memory::virtual_));
  }
  std::size_t vector(ConvTensor id, Shape shape) {
    return keep(tensor(id, {1, 1, 1, shape.c}, CUDNN_DATA_FLOAT));
  }
  Descriptor pointwise(cudnnPointwiseMode_t mode, std::size_t x) {
    Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    // A model that has gone wrong shows it: ReLU makes 0 of a NaN otherwise.
    if (mode == CUDNN_POINTWISE_RELU_FWD)
      what.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
    what.finalize("cuDNN pointwise");
    const std::size_t kept = keep(std::move(what));
    Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, parts[kept]);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, parts[x]);
    return d;
  }
  // y = mode(x, b); b is left out for one operand.
  void pointwise(cudnnPointwiseMode_t mode, std::size_t x, const std::size_t* b, std::size_t y) {
    Descriptor d = pointwise(mode, x);
    if (b) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, parts[*b]);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, parts[y]);
    operation(std::move(d));
  }
  // dx = dy where x > 0, else 0.
  void relu_backward(std::size_t x, std::size_t dy, std::size_t dx) {
    Descriptor d = pointwise(CUDNN_POINTWISE_RELU_BWD, x);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, parts[dy]);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, parts[dx]);
    operation(std::move(d));
  }
  void sum_pixels(std::size_t x, std::size_t sum) {
    Descriptor how(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_REDUCE_TENSOR_ADD);
    how.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    how.finalize("cuDNN reduction");
    const std::size_t kept = keep(std::move(how));
    Descriptor d(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, parts[kept]);
    d.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, parts[x]);
    d.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, parts[sum]);
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

// The mask of x * scale + shift; x is a tensor of the graph.
void mask_by_x(Builder& graph, Shape shape, std::size_t x, std::size_t dy, std::size_t dz) {
  const std::size_t scale = graph.vector(ConvTensor::scale, shape),
                    shift = graph.vector(ConvTensor::shift, shape);
  const std::size_t scaled = graph.between(shape), normalized = graph.between(shape);
  graph.pointwise(CUDNN_POINTWISE_MUL, x, &scale, scaled);
  graph.pointwise(CUDNN_POINTWISE_ADD, scaled, &shift, normalized);
  graph.relu_backward(normalized, dy, dz);
}

// The sums of `value`, and of its products with x - center.
void add_sums(Builder& graph, Shape shape, ConvSums sums, std::size_t value, std::size_t x) {
  const std::size_t center = graph.vector(ConvTensor::center, shape);
  const std::size_t centered = graph.between(shape), product = graph.between(shape);
  graph.pointwise(CUDNN_POINTWISE_SUB, x, &center, centered);
  const std::size_t summed = sums == ConvSums::moments ? centered : value;
  graph.pointwise(CUDNN_POINTWISE_MUL, summed, &centered, product);
  graph.sum_pixels(summed, graph.vector(ConvTensor::first_sum, shape));
  graph.sum_pixels(product, graph.vector(ConvTensor::second_sum, shape));
}

}  // namespace

ConvGraph conv_graph(const ConvProblem& problem) {
  const Shape shape = operands_of(problem).result;
  const cudnnDataType_t type = data_type(problem.dtype);
  const ConvEpilogue& epilogue = problem.epilogue;
  Builder graph;
  const bool masked = of_gradients(epilogue.sums);
  // The chain of values: convolution, + bias, + residual, relu or mask; the last is the result.
  int left = (epilogue.bias ? 1 : 0) + (epilogue.residual ? 1 : 0) + (epilogue.relu ? 1 : 0) +
             (masked ? 1 : 0);
  const auto next_value = [&] {
    return left-- == 0 ? graph.keep(tensor(ConvTensor::result, shape, type)) : graph.between(shape);
  };
  std::size_t value = next_value();
  convolve(graph, problem, value);
  const auto then = [&](cudnnPointwiseMode_t mode, const std::size_t* operand) {
    const std::size_t y = next_value();
    graph.pointwise(mode, value, operand, y);
    value = y;
  };
  if (epilogue.bias) {
    const std::size_t bias = graph.vector(ConvTensor::bias, shape);
    then(CUDNN_POINTWISE_ADD, &bias);
  }
  if (epilogue.residual) {
    const std::size_t residual = graph.keep(tensor(ConvTensor::residual, shape, type));
    then(CUDNN_POINTWISE_ADD, &residual);
  }
  if (epilogue.relu) then(CUDNN_POINTWISE_RELU_FWD, nullptr);
  std::size_t x = value;
  if (masked) {
    x = graph.keep(tensor(ConvTensor::sums_x, shape, type));
    const std::size_t dy = value;
    value = next_value();
    if (epilogue.sums == ConvSums::gradients)
      mask_by_x(graph, shape, x, dy, value);
    else
      graph.relu_backward(graph.keep(tensor(ConvTensor::sums_y, shape, type)), dy, value);
  }
  if (epilogue.sums != ConvSums::none)
    add_sums(graph, shape, epilogue.sums, value, masked ? x : value);

  ConvGraph made;
  made.graph = Descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  made.graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, graph.operations);
  made.graph.finalize("cuDNN operation graph");
  made.parts = std::move(graph.parts);
  return made;
}

}  // namespace fjord::cuda
