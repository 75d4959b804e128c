// Convolution between batch normalisations: the operations one after the other, as they are
// written.
#include "kernels/conv_norm.h"

#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"
#include "tests/reference/between.h"
#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

// The image that the convolution sees.
struct Seen {
  Seen(const ConvNormShape& s, const ConvNormInputs& t, Stream& stream)
      : normalized(t.low ? s.low : s.conv.x), joined(s.conv.x) {
    In x = t.low ? t.low : t.x;
    if (s.normalized) {
      batch_norm_apply(x, t.scale, t.shift, {}, Out{&normalized.buffer}, s.act, stream);
      x = In{&normalized.buffer};
    }
    if (t.low) upsample_concat_forward(x, t.skip, Out{&joined.buffer}, stream);
    image = t.low ? In{&joined.buffer} : x;
  }

  Between normalized, joined;
  In image;
};

void forward(const ConvNormShape& shape, const ConvNormInputs& t, Out y, Out mean, Out variance,
             Stream& stream) {
  const Seen seen(shape, t, stream);
  ConvForward conv;
  prepare_conv_forward(shape.conv, conv, stream);
  conv.run(seen.image, t.weight, t.bias, y, nullptr, stream);
  if (shape.moments) batch_norm_statistics(In{y.buffer}, mean, variance, stream);
}

void backward_filter(const ConvNormShape& shape, const ConvNormInputs& t, const ConvNormGradient& g,
                     Out dweight, Out dbias, Stream& stream) {
  const Seen seen(shape, t, stream);
  const NormGradientInputs& n = g.norm;
  if (g.made)
    batch_norm_backward_apply(n.raw, n.y, g.value, n.scale, n.shift, n.mean, n.inv_std, g.sums,
                              g.made, {}, n.act, stream);
  const In dy = g.made ? In{g.made.buffer} : g.value;
  ConvBackwardFilter conv;
  prepare_conv_backward_filter(shape.conv, conv, stream);
  conv.run(seen.image, dy, dweight, dbias, nullptr, stream);
}

void backward_data(const ConvNormShape& shape, In dy, In weight, const NormGradientInputs& t,
                   Out dz, Out dskip, const NormGradientOutputs& to, Stream& stream) {
  ConvBackwardData conv;
  prepare_conv_backward_data(shape.conv, conv, stream);
  if (shape.low.n == 0) {
    conv.run(dy, weight, dz, nullptr, stream);
  } else {
    Between joined(shape.conv.x);
    conv.run(dy, weight, Out{&joined.buffer}, nullptr, stream);
    upsample_concat_backward(In{&joined.buffer}, dz, dskip, stream);
  }
  batch_norm_backward_reduce(t.raw, t.y, In{dz.buffer}, t.scale, t.shift, t.mean, t.inv_std,
                             to.sums, to.dgamma, to.dbeta, t.act, stream);
  Between masked(dz.shape());
  scale_shift_backward(t.raw, t.y, In{dz.buffer}, t.scale, t.shift, {}, Out{&masked.buffer}, t.act,
                       stream);
  copy_forward(In{&masked.buffer}, Out{dz.buffer}, stream);
}

}  // namespace

void fill_conv_norm() {
  prepare_conv_norm_forward.reference = [](const ConvNormShape& shape, ConvNormForward& pass,
                                           Stream&) {
    pass = {"reference", 0,
            [shape](const ConvNormInputs& t, Out y, Out mean, Out variance, void*, Stream& stream) {
              forward(shape, t, y, mean, variance, stream);
            }};
  };
  prepare_conv_norm_backward_filter.reference = [](const ConvNormShape& shape,
                                                   ConvNormBackwardFilter& pass, Stream&) {
    pass = {
        "reference", 0,
        [shape](const ConvNormInputs& t, const ConvNormGradient& dy, Out dweight, Out dbias, void*,
                Stream& stream) { backward_filter(shape, t, dy, dweight, dbias, stream); }};
  };
  prepare_conv_norm_backward_data.reference = [](const ConvNormShape& shape,
                                                 ConvNormBackwardData& pass, Stream&) {
    pass = {"reference", 0,
            [shape](In dy, In weight, const NormGradientInputs& t, Out dz, Out dskip,
                    const NormGradientOutputs& to, void*, Stream& stream) {
              backward_data(shape, dy, weight, t, dz, dskip, to, stream);
            }};
  };
}

}  // namespace fjord::reference
