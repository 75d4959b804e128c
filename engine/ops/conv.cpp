// Convolution: prepared for its shapes while recording, run every step.
#include "engine/ops/conv_norm.h"
#include "engine/ops/inference.h"
#include "kernels/device.h"

namespace fjord {

namespace {

// What the filter's pass has made, or was given.
Tensor dy_of(const ConvNormGradient& g) {
  return {slot_of(g.made ? g.made.buffer : g.value.buffer)};
}

void record_forward(const Net& net, const ConvShape& shape, Tensor x, Tensor weight, Tensor bias,
                    Tensor y) {
  if (net.declaring()) return;
  ConvForward pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_forward(shape, pass, stream);
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"conv_forward", net.path, slots_of({x.slot, weight.slot, bias.slot}),
                   slots_of({y.slot, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(x), in(weight), in(bias), out(y), data_of(space), s);
                   },
                   pass.implementation});
}

void record_backward_filter(const Net& net, const ConvShape& shape, Tensor x, Tensor dy,
                            Out dweight, Out dbias) {
  if (!dweight) return;
  ConvBackwardFilter pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_backward_filter(shape, pass, stream);
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"conv_backward_filter", net.path, slots_of({x.slot, dy.slot}),
                   slots_of({dweight.buffer, dbias.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(x), in(dy), dweight, dbias, data_of(space), s);
                   },
                   pass.implementation, true});
}

void record_backward_data(const Net& net, ConvShape shape, Tensor x, Tensor dy, Tensor weight) {
  const Out dx = net.grad_sink(x);
  if (!dx) return;
  shape.write = dx.write;
  ConvBackwardData pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_conv_backward_data(shape, pass, stream);
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"conv_backward_data", net.path, slots_of({dy.slot, weight.slot}),
                   slots_of({dx.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(dy), in(weight), dx, data_of(space), s);
                   },
                   pass.implementation});
  offer_norm_gradient(net, {.conv = shape}, x, dy, weight, dx, {});
}

// y = conv(upsample_concat(low, skip)) in one operation, where the backend has it and x is still
// deferred: x itself is never built, nor is its gradient.
struct Through {
  Tensor low, skip;
  UpsampleConvShape shape;
};

std::optional<Through> reads_through(const Net& net, Tensor x, const ConvShape& conv) {
  const TapeOptions& tape = net.tape->options;
  const std::shared_ptr<Deferred>& deferred = x.slot->deferred;
  if (!deferred || deferred->form != Deferred::Form::upsample_concat) return {};
  if (!prepare_upsample_conv_forward.filled(tape.backend) || conv.bias) return {};
  if (conv.conv.stride != 1 || conv.conv.padding != 1 || conv.conv.dilation != 1 ||
      conv.conv.groups != 1)
    return {};
  Through t{deferred->low, deferred->skip, {}};
  t.shape = {.low = t.low.shape(),
             .skip = t.skip ? t.skip.shape() : Shape{0, 0, 0, 0},
             .weight = conv.weight,
             .y = conv.y,
             .dtype = conv.dtype,
             .math = conv.math,
             .algorithm = conv.algorithm,
             .tuning = conv.tuning};
  if (!upsample_conv_fits(t.shape)) return {};
  return t;
}

void record_forward(const Net& net, const Through& t, Tensor weight, Tensor y) {
  UpsampleConvForward pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_upsample_conv_forward(t.shape, pass, stream);
  const Tensor low = net.materialize(t.low), skip = t.skip ? net.materialize(t.skip) : Tensor{};
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"upsample_conv_forward", net.path, slots_of({low.slot, skip.slot, weight.slot}),
                   slots_of({y.slot, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(low), in(skip), in(weight), out(y), data_of(space), s);
                   },
                   pass.implementation});
}

void record_backward_filter(const Net& net, const Through& t, Tensor dy, Out dweight) {
  if (!dweight) return;
  UpsampleConvBackwardFilter pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_upsample_conv_backward_filter(t.shape, pass, stream);
  const Tensor low = net.materialize(t.low), skip = t.skip ? net.materialize(t.skip) : Tensor{};
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"upsample_conv_backward_filter", net.path,
                   slots_of({low.slot, skip.slot, dy.slot}), slots_of({dweight.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(low), in(skip), in(dy), dweight, data_of(space), s);
                   },
                   pass.implementation, true});
}

void record_backward_data(const Net& net, ConvShape joined, Through t, Tensor dy, Tensor weight) {
  const Out dlow = net.grad_sink(t.low);
  const Out dskip = net.grad_sink(t.skip);
  if (!dlow && !dskip) return;
  const bool adds = (dlow && dlow.write == Write::add) || (dskip && dskip.write == Write::add);
  t.shape.write = joined.write = adds ? Write::add : Write::store;
  UpsampleConvBackwardData pass;
  Stream stream = fjord::stream(net.tape->options.backend);
  prepare_upsample_conv_backward_data(t.shape, pass, stream);
  Tensor space = net.scratch(pass.scratch_bytes);
  net.record_step({"upsample_conv_backward_data", net.path, slots_of({dy.slot, weight.slot}),
                   slots_of({dlow.buffer, dskip.buffer, space.slot}),
                   [=, run = std::move(pass.run)](Stream& s) {
                     run(in(dy), in(weight), dlow, dskip, data_of(space), s);
                   },
                   pass.implementation});
  const ConvNormShape shape{.conv = joined, .low = t.shape.low, .skip = t.shape.skip};
  offer_norm_gradient(net, shape, t.low, dy, weight, dlow, dskip);
}

// y's gradient goes to `backward`, or the normalisation behind hands over its own.
void on_backward(const Net& net, const std::optional<ConvNorm>& fused, Tensor weight, Tensor y,
                 NormBehind& behind, std::function<void(const ConvNormGradient&)> backward) {
  net.on_backward(y, [=] { backward({in(net.grad(y))}); });
  if (fused && behind.mean && makes_dy(net, *fused, weight)) behind.backward = std::move(backward);
}

void record_through(const Net& net, const ConvShape& shape, const Through& t, Tensor weight,
                    Tensor y, NormBehind& behind) {
  if (net.declaring()) return;
  const auto fused =
      record_conv_norm(net, shape, {.low = t.low, .skip = t.skip}, weight, {}, y, behind);
  if (!fused) record_forward(net, t, weight, y);
  on_backward(net, fused, weight, y, behind, [=](const ConvNormGradient& gradient) {
    const bool done = fused && record_conv_norm_backward_filter(net, *fused, gradient, weight, {});
    const Tensor dy = dy_of(gradient);
    if (!done && weight.needs_grad()) record_backward_filter(net, t, dy, net.grad_sink(weight));
    record_backward_data(net, shape, t, dy, weight);
  });
}

Conv2d checked(const Net& net, Tensor x, const Conv2dOptions& options) {
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
  check(conv_size(x.h(), conv) > 0 && conv_size(x.w(), conv) > 0, net.path,
        "conv2d with a window of {} got {}x{} pixels", conv.kernel, x.h(), x.w());
  return conv;
}

}  // namespace

ConvParts conv_parts(const Net& net, Tensor x, const Conv2dOptions& options) {
  const Conv2d conv = checked(net, x, options);
  const std::int64_t h = conv_size(x.h(), conv), w = conv_size(x.w(), conv);
  Tensor weight = net.filter(
      "weight", {options.channels, conv.kernel, conv.kernel, x.c() / conv.groups}, options.init);
  Tensor bias;
  if (options.bias)
    bias = net.vector("bias", options.channels,
                      options.init == Init::torch_default ? Init::torch_default : Init::zeros);
  const TapeOptions& tape = net.tape->options;
  const ConvShape shape{.x = x.shape(),
                        .weight = weight.shape(),
                        .y = {x.n(), h, w, options.channels},
                        .conv = conv,
                        .bias = options.bias,
                        .dtype = tape.dtype,
                        .math = tape.math,
                        .algorithm = tape.algorithm,
                        .tuning = tape.tuning};
  return {shape, weight, bias};
}

Tensor conv2d(Net net, Tensor x, Conv2dOptions options) {
  NormBehind nothing;
  return conv2d(net, x, options, nothing);
}

Tensor conv2d(Net net, Tensor x, const Conv2dOptions& options, NormBehind& behind) {
  const ConvParts parts = conv_parts(net, x, options);
  if (const auto ready = conv_inference(net, x, parts, {})) return *ready;
  const ConvShape shape = parts.shape;
  const Tensor weight = parts.weight, bias = parts.bias;
  Tensor y = net.tensor(shape.y, "conv");
  y.slot->needs_grad = x.needs_grad() || weight.needs_grad();
  const Conv2d& conv = shape.conv;
  net.word("conv2d", {x, weight, bias}, y,
           {{"kernel", conv.kernel},
            {"stride", conv.stride},
            {"padding", conv.padding},
            {"dilation", conv.dilation},
            {"groups", conv.groups}});
  if (const auto through = reads_through(net, x, shape)) {
    record_through(net, shape, *through, weight, y, behind);
    return y;
  }
  const auto fused = record_conv_norm(net, shape, {.x = x}, weight, bias, y, behind);
  if (!fused) record_forward(net, shape, net.materialize(x), weight, bias, y);
  on_backward(net, fused, weight, y, behind, [=](const ConvNormGradient& gradient) {
    const bool done =
        fused && record_conv_norm_backward_filter(net, *fused, gradient, weight, bias);
    const Tensor dy = dy_of(gradient);
    if (!done && weight.needs_grad())
      record_backward_filter(net, shape, net.materialize(x), dy, net.grad_sink(weight),
                             net.grad_sink(bias));
    record_backward_data(net, shape, x, dy, weight);
  });
  return y;
}

}  // namespace fjord
