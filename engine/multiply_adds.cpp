// Multiply-adds of each form of a convolution, from the shapes that it touches.
#include "engine/multiply_adds.h"

#include <string_view>

namespace fjord {

const Slot& filter_read(const Step& step) {
  for (const Slot* slot : step.reads)
    if (slot->parameter) return *slot;
  return *step.reads.at(1);
}

namespace {

// A 3x3 window that looks at an enlarged image meets each of its pixels at four places.
constexpr std::int64_t kEnlargedTaps = 4;

std::int64_t upsample_conv_multiply_adds(const Step& step, std::string_view op) {
  const bool forward = op == "upsample_conv_forward" || op == "conv_inference";
  const bool filter = op == "upsample_conv_backward_filter";
  const Shape weight = filter ? step.writes[0]->shape : filter_read(step).shape;
  const Shape y = forward  ? step.writes[0]->shape
                  : filter ? step.reads.back()->shape
                           : step.reads[0]->shape;
  const std::int64_t window = weight.h * weight.w;
  std::int64_t taps = 0;
  if (forward || filter) {
    const std::int64_t low = step.reads[0]->shape.c;
    taps = low * kEnlargedTaps + (weight.c - low) * window;
  } else {
    for (const Slot* slot : step.writes)
      if (slot->kind == Kind::gradient && !slot->parameter)
        taps += slot->shape.c * (slot->shape.h == y.h ? window : kEnlargedTaps);
  }
  return y.pixels() * weight.n * taps;
}

// Of a step that reads through an enlargement, the low-resolution image comes first.
bool reads_through(const Step& step) {
  return std::string_view(step.op) == "conv_inference" &&
         step.reads[0]->shape.h < step.writes[0]->shape.h;
}

}  // namespace

std::int64_t multiply_adds(const Step& step) {
  // The weight's gradient is written first.
  const std::string_view op = step.op;
  auto through = [](Shape map, Shape filter) {
    return map.count() * filter.h * filter.w * filter.c;
  };
  if (reads_through(step)) return upsample_conv_multiply_adds(step, op);
  if (op == "conv_forward" || op == "conv_inference")
    return through(step.writes[0]->shape, filter_read(step).shape);
  if (op == "conv_backward_data") return through(step.reads[0]->shape, filter_read(step).shape);
  if (op == "conv_backward_filter") return through(step.reads[1]->shape, step.writes[0]->shape);
  // The convolution whose passes a transposed one borrows maps its result to what it reads.
  if (op == "conv_transpose_forward") return through(step.reads[0]->shape, filter_read(step).shape);
  if (op == "conv_transpose_backward_data")
    return through(step.writes[0]->shape, filter_read(step).shape);
  if (op == "conv_transpose_backward_filter")
    return through(step.reads[0]->shape, step.writes[0]->shape);
  return op.starts_with("upsample_conv_") ? upsample_conv_multiply_adds(step, op) : 0;
}

}  // namespace fjord
