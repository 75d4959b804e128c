// Convolution: prepared for its shapes while recording, run every step.
#include "engine/ops.h"

namespace fjord {

namespace {

Tensor scratch(const Net& net, std::size_t bytes) {
  if (bytes == 0) return {};
  return net.tensor({1, 1, 1, static_cast<std::int64_t>(bytes)}, DType::u8, "scratch",
                    Kind::scratch);
}

std::vector<Slot*> present(std::initializer_list<const Buffer*> buffers) {
  std::vector<Slot*> slots;
  for (const Buffer* buffer : buffers)
    if (buffer) slots.push_back(static_cast<Slot*>(const_cast<Buffer*>(buffer)));
  return slots;
}

void record_forward(const Net& net, const ConvShape& shape, Tensor x, Tensor weight, Tensor bias,
                    Tensor y) {
  ConvForward pass;
  Stream stream{net.tape->options.backend, nullptr};
  prepare_conv_forward(shape, pass, stream);
  Tensor space = scratch(net, pass.scratch_bytes);
  net.record_step({"conv_forward", net.path, present({x.slot, weight.slot, bias.slot}),
                   present({y.slot, space.slot}), [=, run = std::move(pass.run)](Stream& s) {
                     run(in(x), in(weight), in(bias), out(y), space ? space.slot->data : nullptr,
                         s);
                   }});
}

void record_backward_filter(const Net& net, const ConvShape& shape, Tensor x, Tensor dy,
                            Out dweight, Out dbias) {
  if (!dweight) return;
  ConvBackwardFilter pass;
  Stream stream{net.tape->options.backend, nullptr};
  prepare_conv_backward_filter(shape, pass, stream);
  Tensor space = scratch(net, pass.scratch_bytes);
  net.record_step({"conv_backward_filter", net.path, present({x.slot, dy.slot}),
                   present({dweight.buffer, dbias.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(x), in(dy), dweight, dbias, space ? space.slot->data : nullptr, s);
                   }});
}

void record_backward_data(const Net& net, ConvShape shape, Tensor dy, Tensor weight, Out dx) {
  if (!dx) return;
  shape.write = dx.write;
  ConvBackwardData pass;
  Stream stream{net.tape->options.backend, nullptr};
  prepare_conv_backward_data(shape, pass, stream);
  Tensor space = scratch(net, pass.scratch_bytes);
  net.record_step({"conv_backward_data", net.path, present({dy.slot, weight.slot}),
                   present({dx.buffer, space.slot}), [=, run = std::move(pass.run)](Stream& s) {
                     run(in(dy), in(weight), dx, space ? space.slot->data : nullptr, s);
                   }});
}

}  // namespace

Tensor conv2d(Net net, Tensor x, Conv2dOptions options) {
  const Conv2d conv{options.kernel, options.stride, options.padding.value_or(options.kernel / 2),
                    options.dilation, options.groups};
  check(options.channels > 0 && conv.kernel > 0 && conv.stride > 0 && conv.padding >= 0 &&
            conv.dilation > 0 && conv.groups > 0,
        net.path,
        "conv2d needs positive channels, kernel, stride, dilation and groups, and no negative "
        "padding, got {}, {}, {}, {}, {} and {}",
        options.channels, conv.kernel, conv.stride, conv.dilation, conv.groups, conv.padding);
  check(x.c() % conv.groups == 0 && options.channels % conv.groups == 0, net.path,
        "conv2d with {} groups got {} -> {} channels", conv.groups, x.c(), options.channels);
  const std::int64_t h = conv_size(x.h(), conv), w = conv_size(x.w(), conv);
  check(h > 0 && w > 0, net.path, "conv2d with a window of {} got {}x{} pixels", conv.kernel, x.h(),
        x.w());

  Tensor weight = net.filter(
      "weight", {options.channels, conv.kernel, conv.kernel, x.c() / conv.groups}, options.init);
  Tensor bias;
  if (options.bias)
    bias = net.vector("bias", options.channels,
                      options.init == Init::torch_default ? Init::torch_default : Init::zeros);
  Tensor y = net.tensor({x.n(), h, w, options.channels}, "conv");
  y.slot->needs_grad = x.needs_grad() || weight.needs_grad();

  const ConvShape shape{x.shape(), weight.shape(), y.shape(), conv, options.bias, y.dtype()};
  record_forward(net, shape, net.materialize(x), weight, bias, y);
  net.on_backward(y, [=] {
    Tensor dy = net.grad(y);
    if (weight.needs_grad())
      record_backward_filter(net, shape, net.materialize(x), dy, net.grad_sink(weight),
                             net.grad_sink(bias));
    record_backward_data(net, shape, dy, weight, net.grad_sink(x));
  });
  return y;
}

}  // namespace fjord
