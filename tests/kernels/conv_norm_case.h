// How a layer between batch normalisations becomes cases.
#pragma once

#include <optional>

#include "kernels/conv_norm.h"
#include "tests/kernels/op_case.h"

namespace fjord {

struct NormLayer {
  Shape x;  // where `through`, of the image that is enlarged to twice its size
  std::int64_t outputs = 1;
  Conv2d conv = {};
  bool through = false;
  std::int64_t skip = 0;  // channels behind the enlarged ones
  bool normalized = true;
  Act act = Act::relu;
  bool moments = true;
  bool bias = false;
  bool winograd = false;      // by these passes, whatever the CPU's rule says
  bool bf16 = false;          // with products of bf16, on CPUs that have them
  bool halves = false;        // on a card in bf16 and f16 too, where the tail's kernels have it
  bool library_sums = false;  // asked of a card
  bool centered = true;       // and told where means are expected
  /// Whether a card is to do it in 16 bits; nothing: as its library likes.
  std::optional<bool> fused = {};
};

ConvNormShape conv_norm_shape(const NormLayer& layer, DType dtype, ConvMath math = ConvMath::exact);

/// Makes a case of f32 one of library_sums: with values so small and round that all sums are exact,
/// whatever their order.
void ask_for_library_sums(OpCase& op_case, const NormLayer& layer);
/// Throws where a card has not done what it is to do, or has what it is not to.
void check_fused(bool done, const NormLayer& layer, DType dtype, const Stream& stream);

OpCase norm_forward_case(const NormLayer& layer);
/// How backward-filter makes dy of the gradient behind a normalisation: of which activation, and
/// whether where that was.
struct MadeDy {
  Act act = Act::none;
  bool in_place = false;
};
OpCase norm_backward_filter_case(const NormLayer& layer, Write mode,
                                 std::optional<MadeDy> made = {});

/// How backward-data leaves gradients to the normalisation before it.
struct NormGradients {
  Write mode = Write::store;
  bool masked = false;                            // by what it made, as where a residual was added
  std::optional<Write> skip_mode = Write::store;  // nothing: nobody wants skip's gradient
};
OpCase norm_backward_data_case(const NormLayer& layer, const NormGradients& gradients);

}  // namespace fjord
