// Which convolution for inference runs where: the rule of conv_rule.h, with folded filters.
#include "kernels/conv_inference.h"

#include "kernels/cpu/conv_rule.h"
#include "kernels/cpu/direct/depthwise.h"
#include "kernels/cpu/direct/few_outputs.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/winograd/winograd.h"

namespace fjord {

namespace {

/// A head: nothing follows it but its bias.
bool is_head(const ConvInferenceShape& s) {
  return few_outputs_are_faster(s.conv) && !s.scale && !s.residual && s.act == Act::none &&
         s.low.n == 0;
}

ConvInference head_inference(const ConvInferenceShape& s) {
  ConvShape shape = s.conv;
  shape.bias = s.shift;
  const ConvForward forward = few_outputs_forward(shape);
  return {forward.implementation,
          "",
          0,
          forward.scratch_bytes,
          {},
          [run = forward.run](const ConvInferenceInputs& t, Out y, void* scratch, Stream& stream) {
            run(t.x, t.weight, t.shift, y, scratch, stream);
          }};
}

void prepare_inference(const ConvInferenceShape& s, ConvInference& pass, Stream&) {
  check(s.conv.dtype == DType::f32, "convolution", "the CPU computes in f32");
  if (is_head(s))
    pass = head_inference(s);
  else if (winograd_fits(s) && winograd_is_faster(s.conv))
    pass = winograd_inference(s);
  else if (s.low.n != 0 || winograd_is_faster(s.conv))
    return;  // asked again for x itself, or without the activation
  else if (depthwise_is_faster(s.conv) && !s.residual)
    pass = depthwise_inference(s);
  else
    pass = onednn_inference(s);
}

}  // namespace

void fill_conv_inference_kernels() { prepare_conv_inference.cpu = prepare_inference; }

}  // namespace fjord
