// Convolutions between batch normalisations: by those with few outputs and by Winograd's, where the
// rule gives them the layer.
#include "kernels/conv_norm.h"

#include <utility>

#include "kernels/cpu/bias.h"
#include "kernels/cpu/conv_rule.h"
#include "kernels/cpu/direct/few_outputs.h"
#include "kernels/cpu/fill.h"
#include "kernels/cpu/winograd/winograd.h"

namespace fjord {

namespace {

bool computed(const ConvNormShape& s) {
  check(s.conv.dtype == DType::f32, "conv_norm", "the CPU computes in f32");
  return s.act == Act::none || s.act == Act::relu;
}

bool outputs_are_few(const ConvNormShape& s) {
  return few_outputs_are_faster(s.conv) && s.low.n == 0 && !s.moments;
}

bool winograd_takes(const ConvNormShape& s) {
  if (!winograd_is_faster(s.conv)) return false;
  if (s.low.n == 0) return true;
  return winograd_fits(
      UpsampleConvShape{.low = s.low, .skip = s.skip, .weight = s.conv.weight, .y = s.conv.y});
}

void prepare_forward(const ConvNormShape& shape, ConvNormForward& pass, Stream&) {
  if (!computed(shape)) return;
  if (outputs_are_few(shape))
    pass = few_outputs_norm_forward(shape);
  else if (winograd_takes(shape))
    pass = winograd_norm_forward(shape);
}

void prepare_backward_filter(const ConvNormShape& shape, ConvNormBackwardFilter& pass, Stream&) {
  if (!computed(shape)) return;
  if (outputs_are_few(shape) && !shape.makes_dy)
    pass = few_outputs_norm_backward_filter(shape);
  else if (winograd_takes(shape))
    pass = winograd_norm_backward_filter(shape);
  if (!shape.conv.bias || !pass.run) return;
  pass.run = [run = std::move(pass.run)](const ConvNormInputs& t, const ConvNormGradient& dy,
                                         Out dweight, Out dbias, void* scratch, Stream& s) {
    if (dweight) run(t, dy, dweight, {}, scratch, s);
    if (dbias) bias_gradient(dy.made ? In{dy.made.buffer} : dy.value, dbias);
  };
}

void prepare_backward_data(const ConvNormShape& shape, ConvNormBackwardData& pass, Stream&) {
  if (computed(shape) && winograd_takes(shape)) pass = winograd_norm_backward_data(shape);
}

}  // namespace

void fill_conv_norm_kernels() {
  prepare_conv_norm_forward.cpu = prepare_forward;
  prepare_conv_norm_backward_filter.cpu = prepare_backward_filter;
  prepare_conv_norm_backward_data.cpu = prepare_backward_data;
}

}  // namespace fjord
