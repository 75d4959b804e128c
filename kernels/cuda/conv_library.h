// The convolution library behind a small door: cuDNN in the product (cudnn_library.cpp), naive
// loops in the emulated tests (tests/cuda/emulation/conv_stand_in.cpp). Which one is linked
// decides.
#pragma once

#include <memory>
#include <string>

#include "kernels/conv.h"

namespace fjord::cuda {

/// Which operand a call computes from the other two.
enum class ConvPass : std::uint8_t { forward, backward_data, backward_filter };
std::string_view to_string(ConvPass pass);

/// What batch normalisation wants to know of a result, added up over its pixels while it is made.
/// The order of adding is the library's own, which need not repeat: ConvTuning::library_sums.
enum class ConvSums : std::uint8_t {
  none,
  moments,         // of y: y - center, and its square
  gradients,       // of an image's gradient: dz, stored in its place, and dz * (x - center); dz is
                   // the gradient where x * scale + shift > 0, else 0
  gradients_by_y,  // the same where y > 0
};
constexpr bool of_gradients(ConvSums sums) {
  return sums == ConvSums::gradients || sums == ConvSums::gradients_by_y;
}

/// What is added to a result, or done to it, before it is stored, in this order. Sums of f32,
/// rounded once.
struct ConvEpilogue {
  bool add = false;       // the result's old values; alone
  bool bias = false;      // f32, one value a channel of the result
  bool residual = false;  // a tensor like the result
  bool relu = false;
  ConvSums sums = ConvSums::none;
  bool operator==(const ConvEpilogue&) const = default;
};

/// Whether a pass over the stored result can do it as well.
inline bool has_ending(const ConvEpilogue& e) {
  return (e.bias || e.residual || e.relu) && e.sums == ConvSums::none;
}

/// One correlation y = image * filter of dense NHWC and K x R x S x C tensors of one type.
struct ConvProblem {
  ConvPass pass = ConvPass::forward;
  Shape image, filter, output;
  Conv2d conv;
  DType dtype = DType::f32;
  ConvMath math = ConvMath::exact;
  ConvEpilogue epilogue = {};
};

/// "forward 8x512x512x3 by 64x7x7x3 stride 2 padding 3 bf16 exact": for messages, tables and keys.
std::string to_string(const ConvProblem& problem);

/// Operands of ConvSums: f32, one value a channel of the result; x and y are like the result. The
/// two rows of sums are written, and need no zeros before.
struct ConvSumOperands {
  const void* center = nullptr;
  void *first = nullptr, *second = nullptr;
  const void* x = nullptr;                        // of gradients
  const void *scale = nullptr, *shift = nullptr;  // where the mask is found from x
  const void* y = nullptr;                        // where it is found from y
};

/// Addresses of one call, 16-byte aligned. Forward reads image and filter, backward-data output and
/// filter, backward-filter image and output; the third is written (in the tensors' type).
struct ConvOperands {
  const void *first = nullptr, *second = nullptr;
  const void* bias = nullptr;
  void* result = nullptr;
  void* workspace = nullptr;
  const void* residual = nullptr;
  ConvSumOperands sums = {};
};

/// A chosen way to compute a problem. Runs are legal inside stream capture.
class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  virtual void run(const ConvOperands& operands, Stream& stream) const = 0;

  std::string engine;  // for tables
  bool tensor_cores = false;
  std::size_t workspace_bytes = 0;
};

/// No plan asks for more.
inline constexpr std::size_t kConvWorkspaceBytes = std::size_t{64} << 20;

/// The plan of a problem: the same for equal problems (unless timed). Null when the library cannot
/// do it, or not with this epilogue; throws Error{device, "convolution"} when it fails.
std::shared_ptr<const ConvPlan> plan_conv(const ConvProblem& problem, const ConvTuning& tuning);

}  // namespace fjord::cuda
