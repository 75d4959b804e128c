// Names of convolution problems: the same in the product and with the tests' stand-in.
#include "kernels/cuda/conv_library.h"

namespace fjord::cuda {

std::string_view to_string(ConvPass pass) {
  return pass == ConvPass::forward         ? "forward"
         : pass == ConvPass::backward_data ? "backward-data"
                                           : "backward-filter";
}

std::string to_string(const ConvProblem& p) {
  const char* type = p.dtype == DType::bf16     ? "bf16"
                     : p.dtype == DType::f16    ? "f16"
                     : p.math == ConvMath::tf32 ? "tf32"
                                                : "f32";
  const char* sums = p.epilogue.sums == ConvSums::moments          ? " moments"
                     : p.epilogue.sums == ConvSums::gradients      ? " gradients"
                     : p.epilogue.sums == ConvSums::gradients_by_y ? " gradients-by-y"
                                                                   : "";
  return fmt::format("{} {} by {} stride {} padding {} dilation {} groups {} {}{}{}{}{}{}",
                     to_string(p.pass), fjord::to_string(p.image), fjord::to_string(p.filter),
                     p.conv.stride, p.conv.padding, p.conv.dilation, p.conv.groups, type,
                     p.epilogue.bias ? " bias" : "", p.epilogue.residual ? " residual" : "",
                     p.epilogue.relu ? " relu" : "", p.epilogue.add ? " added" : "", sums);
}

}  // namespace fjord::cuda
