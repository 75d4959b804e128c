// A convolution of 1x1 windows as one product of matrices.
#include "kernels/cuda/conv_product.h"

namespace fjord::cuda {

namespace {

// Rows of channels in memory are columns to BLAS: y' = w x' and so on, each matrix transposed.
BlasMatrix matrix_of(Shape shape) { return {shape.c, shape.count() / shape.c}; }

bool is_product(const ConvProblem& p) {
  ConvEpilogue beyond_adding = p.epilogue;
  beyond_adding.add = false;
  return p.filter.h == 1 && p.filter.w == 1 && p.conv.stride == 1 && p.conv.padding == 0 &&
         p.conv.groups == 1 && beyond_adding == ConvEpilogue{};
}

}  // namespace

std::optional<ConvProduct> product_of(const ConvProblem& p) {
  if (!is_product(p)) return std::nullopt;
  const BlasMatrix image = matrix_of(p.image), filter = matrix_of(p.filter),
                   output = matrix_of(p.output);
  switch (p.pass) {
    case ConvPass::forward:
      return ConvProduct{.a = filter, .b = image, .result = output, .transpose_a = true};
    case ConvPass::backward_data:
      return ConvProduct{.a = filter, .b = output, .result = image};
    case ConvPass::backward_filter:
      return ConvProduct{
          .a = image, .b = output, .result = filter, .transpose_b = true, .a_is_first = true};
  }
  return std::nullopt;
}

}  // namespace fjord::cuda
