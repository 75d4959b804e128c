// Weight layouts, and the passes around convolutions that a library does not fuse. All of them are
// deterministic; T is f32, bf16 or f16.
#pragma once

#include "kernels/kernel.h"
#include "kernels/view.h"

namespace fjord::cuda {

/// A tensor given by its address: parts of scratch have no Buffer.
struct Typed {
  const void* data = nullptr;
  DType dtype = DType::f32;
};
struct TypedOut {
  void* data = nullptr;
  DType dtype = DType::f32;
  Write write = Write::store;
};

/// y = x or y += x: between one type, or from any to f32.
void convert(Typed x, TypedOut y, std::int64_t count, Stream& stream);

/// What follows a convolution's sums: y = act(y + bias[c] + residual). Null: absent.
struct ConvEnd {
  const float* bias = nullptr;
  const void* residual = nullptr;  // of y's type and shape
  bool relu = false;
};
void end_conv(const ConvEnd& end, TypedOut y, Shape shape, Stream& stream);

/// y = weight, each output's values times its scale (absent: 1).
void fold_filter(In weight, In scale, TypedOut y, Stream& stream);

/// sums[c] = (or +=) the sum of x[.., c].
void channel_sums(Typed x, Shape shape, Out sums, Stream& stream);

/// The parts of an upsample_conv's filter: weight (k x 3 x 3 x (c1 + c2)) -> low (c1 x 4 x 4 x k,
/// the filter of the transposed convolution) and skip (k x 3 x 3 x c2); null when not asked for.
struct FilterParts {
  std::int64_t outputs = 0, low = 0, skip = 0;  // k, c1, c2
  constexpr std::int64_t low_count() const { return 16 * low * outputs; }
  constexpr std::int64_t skip_count() const { return 9 * skip * outputs; }
};
void split_filter(Typed weight, FilterParts parts, void* low, void* skip, Stream& stream);
/// The same of f32 weights times the outputs' scale (absent: 1); the parts are of type `to`.
void fold_split_filter(In weight, In scale, FilterParts parts, DType to, void* low, void* skip,
                       Stream& stream);
/// Its transpose, for gradients: low and skip (null without one) -> dweight (f32).
void join_filter(Typed low, Typed skip, FilterParts parts, Out dweight, Stream& stream);

}  // namespace fjord::cuda
