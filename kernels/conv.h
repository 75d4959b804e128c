// Two-dimensional convolution: NHWC images, K x R x S x C filters.
#pragma once

#include <functional>
#include <string>

#include "kernels/kernel.h"

namespace fjord {

/// Attributes of a convolution: square kernel, same stride, padding and dilation on both axes.
struct Conv2d {
  int kernel = 3, stride = 1, padding = 1, dilation = 1, groups = 1;
};

/// Pixels that a window larger than the padded image leaves: none. PyTorch's rule otherwise,
/// floor((in + 2p - d(k-1) - 1) / s) + 1.
constexpr std::int64_t conv_size(std::int64_t in, const Conv2d& conv) {
  const std::int64_t steps = in + 2 * conv.padding - conv.dilation * (conv.kernel - 1) - 1;
  return steps < 0 ? 0 : steps / conv.stride + 1;
}

/// How products of f32 tensors are made: exactly, or of factors rounded to tf32 (10 bits of
/// mantissa) by tensor cores, or to bf16 (7) by processors that multiply those, where that is
/// faster. Tensors of 16 bits are multiplied as they are; sums are f32 always.
enum class ConvMath : std::uint8_t { exact, tf32, bf16 };

/// Which algorithms may compute a convolution: any that is fast, or only the sums of its definition
/// (--exact), whose rounding errors are several times smaller than Winograd's; or those of the
/// backend's library alone, which the others are measured beside. A card has one choice for all.
enum class ConvAlgorithm : std::uint8_t { any, direct, library };

/// What those may have who prefer speed to equal bits. Off unless asked for.
struct ConvTuning {
  /// The candidates are timed on the card; what was found is kept in `folder` (none: in memory
  /// alone). Bits are equal where choices are.
  bool timed = false;
  std::string folder = {};
  /// A card's library adds up what batch normalisation wants while it makes a convolution's result,
  /// where it can: in an order of its own, so that not even two runs need have equal bits.
  bool library_sums = false;
};

/// Everything the choice of an implementation may depend on. Never a timing (without tuning), never
/// a thread count: the same command has to give the same bits.
struct ConvShape {
  Shape x, weight, y;
  Conv2d conv;
  bool bias = false;
  /// Of x, weight, y and their gradients; bias, dbias and dweight are f32 whatever it is.
  DType dtype = DType::f32;
  /// How backward-data will write dx. `add` plans scratch that serves both.
  Write write = Write::add;
  ConvMath math = ConvMath::exact;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  ConvTuning tuning = {};
};

/// One convolution pass made ready for its shapes: built once while recording, run every step.
/// `scratch_bytes` (packed weights, workspaces) is planned in the arena for the time of the step.
struct ConvForward {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In x, In weight, In bias, Out y, void* scratch, Stream&)> run;
};
/// dy, weight -> dx (stored or added).
struct ConvBackwardData {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In dy, In weight, Out dx, void* scratch, Stream&)> run;
};
/// x, dy -> dweight, dbias (absent without bias); stored or added. Same bits for any thread count.
struct ConvBackwardFilter {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In x, In dy, Out dweight, Out dbias, void* scratch, Stream&)> run;
};

/// These slots choose an implementation by a fixed rule on the shape.
inline Kernel<const ConvShape&, ConvForward&> prepare_conv_forward{"conv_forward"};
inline Kernel<const ConvShape&, ConvBackwardData&> prepare_conv_backward_data{"conv_backward_data"};
inline Kernel<const ConvShape&, ConvBackwardFilter&> prepare_conv_backward_filter{
    "conv_backward_filter"};

/// "Nearest x2, concatenate, 3x3 with padding 1" of a decoder as one operation that never builds
/// the enlarged image: y = conv(cat(up(low), skip), weight). Equal, since up and 3x3
/// together are a transposed 4x4 convolution of stride 2 whose filter is made of sums of the 3x3
/// one; in 16 bits those sums and the first of the two results are rounded once more.
struct UpsampleConvShape {
  Shape low, skip;  // n x h x w x c1, n x 2h x 2w x c2; skip.n == 0: absent
  Shape weight, y;  // k x 3 x 3 x (c1 + c2), n x 2h x 2w x k
  DType dtype = DType::f32;
  /// How backward-data will write dlow and dskip. `add` plans scratch that serves both.
  Write write = Write::add;
  ConvMath math = ConvMath::exact;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  ConvTuning tuning = {};
};

/// Whether the identity holds: y is exactly twice as large as low, the window is 3x3. Elsewhere the
/// three operations run one by one.
constexpr bool upsample_conv_fits(const UpsampleConvShape& s) {
  const bool skip = s.skip.n != 0;
  const Shape y{s.low.n, 2 * s.low.h, 2 * s.low.w, s.weight.n};
  const Shape weight{s.y.c, 3, 3, s.low.c + (skip ? s.skip.c : 0)};
  return s.y == y && s.weight == weight && (!skip || s.skip == Shape{y.n, y.h, y.w, s.skip.c});
}

/// As for convolutions above; absent tensors are absent arguments. dlow and dskip may be absent.
struct UpsampleConvForward {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In low, In skip, In weight, Out y, void* scratch, Stream&)> run;
};
struct UpsampleConvBackwardData {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In dy, In weight, Out dlow, Out dskip, void* scratch, Stream&)> run;
};
struct UpsampleConvBackwardFilter {
  std::string implementation;
  std::size_t scratch_bytes = 0;
  std::function<void(In low, In skip, In dy, Out dweight, void* scratch, Stream&)> run;
};

/// Slots that a backend may leave empty: the caller then records the three
/// operations. Throw where upsample_conv_fits is false.
inline Kernel<const UpsampleConvShape&, UpsampleConvForward&> prepare_upsample_conv_forward{
    "upsample_conv_forward"};
inline Kernel<const UpsampleConvShape&, UpsampleConvBackwardData&>
    prepare_upsample_conv_backward_data{"upsample_conv_backward_data"};
inline Kernel<const UpsampleConvShape&, UpsampleConvBackwardFilter&>
    prepare_upsample_conv_backward_filter{"upsample_conv_backward_filter"};

}  // namespace fjord
