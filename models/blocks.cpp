// Pieces that several papers have in common, with SMP's scopes and initialisation.
#include "models/blocks.h"

#include <algorithm>

#include "kernels/error.h"

namespace fjord {

Tensor conv_relu(Net net, Tensor x, const ConvReLU& unit) {
  const Conv2dOptions conv{.channels = unit.channels,
                           .kernel = unit.kernel,
                           .bias = unit.norm == DecoderNorm::identity,
                           .init = Init::kaiming_uniform_fan_in};
  if (unit.norm == DecoderNorm::batchnorm) return conv_bn_act(net, x, {.conv = conv});
  return norm_relu(net / 1, conv2d(net / 0, x, conv), unit.norm);
}

Tensor norm_relu(Net net, Tensor x, DecoderNorm norm) {
  if (norm == DecoderNorm::identity) return relu(net, x);
  if (norm == DecoderNorm::instance) return instance_norm(net, x, {.act = Act::relu});
  return batch_norm(net, x, {.act = Act::relu});
}

namespace {

/// Roy, Navab, Wachinger 2018, "Concurrent Spatial and Channel Squeeze & Excitation": x by a number
/// a channel plus x by a number a pixel.
Tensor scse(Net net, Tensor x) {
  const Net attention = net / "attention";
  const Tensor channels = squeeze_excite(attention / "cSE", x,
                                         {.width = static_cast<int>(x.c() / 16),
                                          .reduce = "1",
                                          .expand = "3",
                                          .init = Init::kaiming_uniform_fan_in});
  Tensor s =
      conv2d(attention / "sSE" / 0, x,
             {.channels = 1, .kernel = 1, .bias = true, .init = Init::kaiming_uniform_fan_in});
  return add(net, channels, scale_pixels(net, x, activate(net, s, Act::sigmoid)));
}

Tensor enlarged(Net net, Tensor x, const DecoderBlock& block, const ModelOptions& options) {
  const Tensor like = block.skip ? block.skip : block.size;
  if (options.interpolation != Interpolation::nearest)
    x = resize(net, x, like.h(), like.w(), options.interpolation);
  return block.skip ? upsample_concat(net, x, block.skip) : upsample(net, x, like.h(), like.w());
}

}  // namespace

Tensor decoder_block(Net net, Tensor x, const DecoderBlock& block, const ModelOptions& options) {
  const ConvReLU unit{.channels = block.channels, .norm = options.decoder_norm};
  x = enlarged(net, x, block, options);
  if (options.attention == Attention::scse) {
    // Files list the attention after the first convolution, and where it is not used too.
    declare(net, [&](Net aside) {
      const Tensor y = aside.tensor({1, 4, 4, x.c()});
      conv_relu(aside / "conv1", y, unit);
      scse(aside / "attention1", y);
    });
    if (block.skip) x = scse(net / "attention1", x);
  }
  x = conv_relu(net / "conv1", x, unit);
  x = conv_relu(net / "conv2", x, unit);
  return options.attention == Attention::scse ? scse(net / "attention2", x) : x;
}

void demand_divisible(Tensor image, const ModelOptions& options) {
  const std::int64_t stride = size_divisor(options);
  const auto next = [&](std::int64_t size) { return (size + stride - 1) / stride * stride; };
  const std::int64_t h = image.h(), w = image.w();
  if (h % stride == 0 && w % stride == 0) return;
  throw Error(ExitCode::usage, "image-size", fmt::format("images of {}x{}", h, w),
              fmt::format("{} needs height and width divisible by {}", options.arch, stride),
              fmt::format("use --size {}x{}", next(h), next(w)));
}

Tensor segmentation_head(Net net, Tensor x, SegmentationHead head) {
  return conv2d(net / 0, x,
                {.channels = head.classes,
                 .kernel = head.kernel,
                 .bias = true,
                 .init = Init::xavier_uniform});
}

namespace {

// The largest over all pixels, by windows as large as there are.
Tensor channel_maxima(Net net, Tensor x) {
  while (x.h() > 1 || x.w() > 1)
    x = max_pool(net, x, {.kernel = 15, .stride = 15, .padding = 0, .ceil = true});
  return x;
}

// What counts training steps: the normalisation that was made last, not that of a frozen encoder.
Tensor step_counter(const Net& net) {
  const auto& all = net.tape->parameters.all();
  const auto last = std::ranges::find(all.rbegin(), all.rend(), Role::counter, &Parameter::role);
  check(last != all.rend(), net.path, "no normalisation counts the steps of this dropout");
  return Net{net.tape, ""}.counter(last->name);
}

}  // namespace

Tensor classification_head(Net net, Tensor x, const ClassificationHead& head) {
  x = head.pooling == Pooling::avg ? channel_means(net, x) : channel_maxima(net, x);
  x = dropout(net / 2, x, step_counter(net), head.dropout);
  return linear(net / 3, x, {.channels = head.classes, .init = Init::xavier_uniform});
}

void declare_conv_bn(Net net, std::int64_t in_channels, const ConvBnAct& unit, Init slope) {
  const Conv2dOptions& conv = unit.conv;
  (net / unit.conv_name)
      .filter("weight", {conv.channels, conv.kernel, conv.kernel, in_channels / conv.groups},
              conv.init);
  const Net norm = net / unit.norm_name;
  norm.vector("weight", conv.channels, slope);
  norm.vector("bias", conv.channels, Init::zeros);
  norm.statistic("running_mean", conv.channels, Init::zeros);
  norm.statistic("running_var", conv.channels, Init::ones);
  norm.counter("num_batches_tracked");
}

Conv2dOptions first_conv(Tensor image, Conv2dOptions conv) {
  if (image.c() != 3) conv.init = Init::torch_default;
  return conv;
}

void declare(Net net, const std::function<void(Net)>& record) {
  if (net.tape->parameters.allocated()) return;
  TapeOptions options = net.tape->options;
  options.mode = Mode::declare;
  Tape unused(net.tape->parameters, options);
  record(Net{&unused, net.path, net.frozen});
}

void declare_unused(Net net, std::int64_t channels,
                    const std::function<void(Net, Tensor x)>& record) {
  declare(net, [&](Net aside) {
    record(aside, aside.tensor({.n = 1, .h = 32, .w = 32, .c = channels}));
  });
}

Tensor excitation(Net net, Tensor x, const SqueezeExcite& unit) {
  const auto dense = [&](std::int64_t channels) {
    return Conv2dOptions{
        .channels = static_cast<int>(channels), .kernel = 1, .bias = true, .init = unit.init};
  };
  Tensor s = conv2d(net / unit.reduce, channel_means(net, x), dense(unit.width));
  s = unit.act == Act::relu ? relu(net, s) : activate(net, s, unit.act);
  s = conv2d(net / unit.expand, s, dense(x.c()));
  return activate(net, s, Act::sigmoid);
}

Tensor squeeze_excite(Net net, Tensor x, const SqueezeExcite& unit) {
  return scale_channels(net, x, excitation(net, x, unit));
}

int round_channels(int width, double factor) {
  const double wanted = width * factor;
  const int rounded = std::max(8, static_cast<int>(wanted + 4) / 8 * 8);
  return rounded < 0.9 * wanted ? rounded + 8 : rounded;
}

}  // namespace fjord
