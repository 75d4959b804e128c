// Tensors as the tape sees them: a shape, a lifetime, perhaps a gradient, perhaps deferred.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/norm.h"
#include "kernels/view.h"

namespace fjord {

/// Why memory is held; the plan reports its peak by kind.
enum class Kind : std::uint8_t {
  activation,
  gradient,
  scratch,
  resident,
  parameter,
  outside,
  kept  // follows from the weights, and is made again when they change
};

struct Deferred;
struct NormGradientInputs;  // kernels/conv_norm.h
struct NormGradientOutputs;
struct Parameter;

/// The steps in which a tensor is there, from the one that writes it to the last that touches it,
/// and where in the arena.
struct Life {
  int first = -1, last = -1;
  std::size_t offset = 0;
};

/// A tensor's record on the tape. The plan finds when it is there and gives it a place; parameters
/// live outside of the arena.
struct Slot : Buffer {
  Kind kind = Kind::activation;
  bool needs_grad = false;
  std::vector<Life> lives;  // in order; several where it is made again
  Slot* grad = nullptr;
  std::shared_ptr<Deferred> deferred;
  Parameter* parameter = nullptr;  // whose value (or gradient) this is: not in the arena
};

/// A handle, cheap to copy; the tape owns what it points to. Absent (false) by default.
struct Tensor {
  Slot* slot = nullptr;

  explicit operator bool() const { return slot != nullptr; }
  Shape shape() const { return slot->shape; }
  std::int64_t n() const { return slot->shape.n; }
  std::int64_t h() const { return slot->shape.h; }
  std::int64_t w() const { return slot->shape.w; }
  std::int64_t c() const { return slot->shape.c; }
  DType dtype() const { return slot->dtype; }
  bool needs_grad() const { return slot->needs_grad; }
};

/// What is still to be done to a tensor whose slot holds no memory yet. A consumer that can read
/// through it does; for any other, Net::materialize records the pass once.
struct Deferred {
  enum class Form : std::uint8_t { normalized, upsample_concat } form = Form::normalized;
  // normalized: act(raw * scale + shift + residual)
  Tensor raw, scale, shift, residual;
  Act act = Act::none;
  // upsample_concat: low at the size of this tensor, then skip
  Tensor low, skip;
  // What the pass writes, recorded going forward and once more going backward. Recomputing is
  // cheaper than keeping, except where many consumers or a residual would recompute much.
  int uses = 0;
  bool made_again = false;
  Tensor materialized;
  bool kept() const { return uses > 2 || residual; }
  /// normalized, going backward: makes the convolution that wrote the gradient last leave what the
  /// normalisation wants of it as well; false where it cannot. Empty where another wrote last.
  std::function<bool(const NormGradientInputs&, const NormGradientOutputs&)> sum_gradient;
};

}  // namespace fjord
