// Convolution for inference: the operations one after the other, as they are written.
#include "kernels/conv_inference.h"

#include "kernels/pointwise.h"
#include "kernels/spatial.h"
#include "tests/reference/between.h"
#include "tests/reference/reference.h"

namespace fjord::reference {

namespace {

void run(const ConvInferenceShape& shape, const ConvInferenceInputs& t, Out y, Stream& stream) {
  Between x(shape.conv.x), product(shape.conv.y), scale({1, 1, 1, shape.conv.y.c}),
      shift(scale.buffer.shape);
  if (t.low) upsample_concat_forward(t.low, t.skip, Out{&x.buffer}, stream);
  for (double& factor : scale.values) factor = 1;
  ConvShape bare = shape.conv;
  bare.bias = false;
  ConvForward conv;
  prepare_conv_forward(bare, conv, stream);
  conv.run(t.low ? In{&x.buffer} : t.x, t.weight, {}, Out{&product.buffer}, nullptr, stream);
  const bool behind = shape.act != Act::none && shape.act != Act::relu;
  batch_norm_apply(In{&product.buffer}, t.scale ? t.scale : In{&scale.buffer},
                   t.shift ? t.shift : In{&shift.buffer}, t.residual, y,
                   behind ? Act::none : shape.act, stream);
  if (behind) activate_forward(In{y.buffer}, y, shape.act, stream);
}

}  // namespace

void fill_conv_inference() {
  prepare_conv_inference.reference = [](const ConvInferenceShape& shape, ConvInference& pass,
                                        Stream&) {
    pass = {"reference",
            "",
            0,
            0,
            {},
            [shape](const ConvInferenceInputs& t, Out y, void*, Stream& stream) {
              run(shape, t, y, stream);
            }};
  };
}

}  // namespace fjord::reference
