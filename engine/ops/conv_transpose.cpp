// Transposed convolution: a convolution's passes, each in the place of another.
#include "engine/ops.h"
#include "kernels/device.h"
#include "kernels/gate.h"

namespace fjord {

namespace {

// The convolution maps y, as large as this op's result, to x: its gradient maps x to y.
void record_values(const Net& net, ConvShape shape, Tensor x, Tensor weight, Out y) {
  if (net.declaring()) return;
  shape.write = Write::store;
  ConvBackwardData pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_backward_data(shape, pass, stream);
  const Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step(
      {"conv_transpose_forward",
       net.path,
       {x.slot, weight.slot},
       slots_of({y.buffer, space.slot}),
       [=, run = std::move(pass.run)](Stream& s) { run(in(x), in(weight), y, data_of(space), s); },
       pass.implementation});
}

void record_filter_gradient(const Net& net, const ConvShape& shape, Tensor x, Tensor dy,
                            Out dweight) {
  if (!dweight) return;
  ConvBackwardFilter pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_backward_filter(shape, pass, stream);
  const Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"conv_transpose_backward_filter",
                   net.path,
                   {x.slot, dy.slot},
                   slots_of({dweight.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(dy), in(x), dweight, {}, data_of(space), s);
                   },
                   pass.implementation,
                   true});
}

// The convolution stores; a gradient to be added goes through a tensor of its own.
void record_data_gradient(const Net& net, const ConvShape& shape, Tensor dy, Tensor weight,
                          Out dx) {
  if (!dx) return;
  const bool adds = dx.write == Write::add;
  const Tensor part = adds ? net.tensor(dx.shape(), "part", Kind::gradient) : Tensor{};
  const Out to = adds ? out(part) : dx;
  ConvForward pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_forward(shape, pass, stream);
  const Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"conv_transpose_backward_data",
                   net.path,
                   {dy.slot, weight.slot},
                   slots_of({to.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(dy), in(weight), {}, to, data_of(space), s);
                   },
                   pass.implementation});
  if (adds) net.record(copy_forward, in(part), dx);
}

}  // namespace

Tensor conv_transpose2d(Net net, Tensor x, Conv2dOptions options) {
  const Conv2d conv{options.kernel, options.stride, options.padding.value_or(options.kernel / 2)};
  const auto size = [&](std::int64_t from) {
    return (from - 1) * conv.stride - 2 * conv.padding + conv.kernel;
  };
  check(options.groups == 1 && options.dilation == 1 && size(x.h()) > 0 && size(x.w()) > 0,
        net.path, "conv_transpose2d is of one group, undilated, to at least one pixel");
  const Tensor weight =
      net.filter("weight", {x.c(), conv.kernel, conv.kernel, options.channels}, options.init);
  Tensor y = net.tensor({x.n(), size(x.h()), size(x.w()), options.channels}, "conv");
  y.slot->needs_grad = x.needs_grad() || weight.needs_grad();
  const TapeOptions& tape = net.tape->options;
  const ConvShape shape{.x = y.shape(),
                        .weight = weight.shape(),
                        .y = x.shape(),
                        .conv = conv,
                        .dtype = y.dtype(),
                        .math = tape.math,
                        .algorithm = tape.algorithm,
                        .tuning = tape.tuning};
  record_values(net, shape, net.materialize(x), weight, out(y));
  Tensor bias;
  if (options.bias) {
    bias = net.vector("bias", options.channels, options.init);
    net.record(channel_scale, In{}, in(net.converted(bias, y.dtype())), Out{y.slot, Write::add},
               1.0);
  }
  net.word("conv_transpose2d", {x, weight, bias}, y,
           {{"kernel", conv.kernel}, {"stride", conv.stride}, {"padding", conv.padding}});
  net.on_backward(y, [=] {
    const Tensor dy = net.grad(y);
    record_filter_gradient(net, shape, net.materialize(x), dy, net.grad_sink(weight));
    // Of the bias's own type, whatever the tape's is: its gradient is not to be rounded.
    if (Out dbias = net.grad_sink(bias))
      net.record(channel_sums, in(net.converted(dy, bias.dtype())), In{}, dbias, 1.0);
    record_data_gradient(net, shape, dy, weight, net.grad_sink(x));
  });
  return y;
}

}  // namespace fjord
