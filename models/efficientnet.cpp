// Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
// Table 1, scaled by equation 3; twice: with the names and habits of efficientnet-pytorch, and with
// those of timm. SMP has both.
#include <algorithm>
#include <cmath>
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

enum class Origin : std::uint8_t { efficientnet_pytorch, timm };

/// How much wider and deeper than the baseline, and the image size that it was found for.
struct EfficientNet {
  std::string_view name;
  Origin origin;
  double width, depth;
  int resolution;
};
constexpr EfficientNet columns[] = {
    {"efficientnet-b0", Origin::efficientnet_pytorch, 1.0, 1.0, 224},
    {"efficientnet-b1", Origin::efficientnet_pytorch, 1.0, 1.1, 240},
    {"efficientnet-b2", Origin::efficientnet_pytorch, 1.1, 1.2, 260},
    {"efficientnet-b3", Origin::efficientnet_pytorch, 1.2, 1.4, 300},
    {"efficientnet-b4", Origin::efficientnet_pytorch, 1.4, 1.8, 380},
    {"efficientnet-b5", Origin::efficientnet_pytorch, 1.6, 2.2, 456},
    {"efficientnet-b6", Origin::efficientnet_pytorch, 1.8, 2.6, 528},
    {"efficientnet-b7", Origin::efficientnet_pytorch, 2.0, 3.1, 600},
    {"timm-efficientnet-b0", Origin::timm, 1.0, 1.0, 224},
    {"timm-efficientnet-b1", Origin::timm, 1.0, 1.1, 240},
    {"timm-efficientnet-b2", Origin::timm, 1.1, 1.2, 260},
    {"timm-efficientnet-b3", Origin::timm, 1.2, 1.4, 300},
    {"timm-efficientnet-b4", Origin::timm, 1.4, 1.8, 380},
    {"timm-efficientnet-b5", Origin::timm, 1.6, 2.2, 456},
    {"timm-efficientnet-b6", Origin::timm, 1.8, 2.6, 528},
    {"timm-efficientnet-b7", Origin::timm, 2.0, 3.1, 600},
    {"timm-efficientnet-b8", Origin::timm, 2.2, 3.6, 672},
};

/// A row of Table 1.
struct Stage {
  int expand, kernel, stride, channels, repeats;
};
constexpr Stage kStages[] = {{1, 3, 1, 16, 1}, {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2},
                             {6, 3, 2, 80, 3}, {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4},
                             {6, 3, 1, 320, 1}};
constexpr int kStem = 32, kHead = 1280;
constexpr double kDropRate = 0.2;  // of the last block; the others' grow towards it

/// A network while it is built: what its blocks count and hand on.
struct Builder {
  const EfficientNet& net;
  int blocks = 0;      // in all
  int resolution = 0;  // that the next convolution would have on an image of the nominal size
  int index = 0;       // of the next block

  bool timm() const { return net.origin == Origin::timm; }
  int repeats(const Stage& stage) const {
    return static_cast<int>(std::ceil(stage.repeats * net.depth));
  }
  BatchNorm norm() const { return timm() ? BatchNorm{} : BatchNorm{.eps = 1e-3, .momentum = 0.01}; }
  Init init(bool depthwise) const {
    if (!timm()) return Init::torch_default;
    return depthwise ? Init::kaiming_normal_fan_in : Init::kaiming_normal_fan_out;
  }
};

struct Names {
  const char *conv, *norm;
};

ConvBnAct unit(const Builder& b, std::int64_t channels, Names names) {
  return {.conv = {.channels = static_cast<int>(channels), .kernel = 1, .init = b.init(false)},
          .conv_name = names.conv,
          .norm_name = names.norm,
          .act = Act::silu,
          .norm = b.norm()};
}

/// efficientnet-pytorch pads as TensorFlow's "SAME" does, more after than before, and by what the
/// nominal image size needs whatever the image's is; timm pads alike on both sides.
Tensor padded_conv(const Builder& b, Net net, Tensor x, ConvBnAct options) {
  Conv2dOptions& conv = options.conv;
  if (b.timm()) return conv_bn_act(net, x, options);
  const int outputs = (b.resolution + conv.stride - 1) / conv.stride;
  const int missing = std::max(0, (outputs - 1) * conv.stride + conv.kernel - b.resolution);
  const int before = missing / 2, after = missing - before;
  conv.padding = before;
  if (before != after) {
    conv.padding = 0;
    x = pad(net, x, {.top = before, .bottom = after, .left = before, .right = after});
  }
  return conv_bn_act(net, x, options);
}

/// Narrowing, with the shortcut where the shape allows one: in training some samples take that
/// alone (stochastic depth).
Tensor project(const Builder& b, Net net, Tensor y, Tensor x, ConvBnAct narrow, int stride) {
  narrow.act = Act::none;
  if (stride != 1 || x.c() != narrow.conv.channels) return conv_bn_act(net, y, narrow);
  const double rate = kDropRate * b.index / b.blocks;
  if (!net.training() || rate == 0) {
    narrow.residual = x;
    return conv_bn_act(net, y, narrow);
  }
  y = conv_bn_act(net, y, narrow);
  return add(net, drop_path(net, y, (net / narrow.norm_name).counter("num_batches_tracked"), rate),
             x);
}

/// The mobile inverted bottleneck of MobileNetV2 with squeeze and excite.
Tensor block(Builder& b, Net net, Tensor x, const Stage& stage, int stride) {
  const bool timm = b.timm(), expands = stage.expand > 1;
  Tensor y = x;
  if (expands)
    y = conv_bn_act(net, x,
                    unit(b, x.c() * stage.expand,
                         timm ? Names{"conv_pw", "bn1"} : Names{"_expand_conv", "_bn0"}));
  ConvBnAct depthwise =
      unit(b, y.c(),
           timm ? Names{"conv_dw", expands ? "bn2" : "bn1"} : Names{"_depthwise_conv", "_bn1"});
  depthwise.conv.kernel = stage.kernel;
  depthwise.conv.stride = stride;
  depthwise.conv.groups = depthwise.conv.channels;
  depthwise.conv.init = b.init(true);
  y = padded_conv(b, net, y, depthwise);
  y = squeeze_excite(timm ? net / "se" : net, y,
                     {.width = static_cast<int>(x.c() / 4),
                      .reduce = timm ? "conv_reduce" : "_se_reduce",
                      .expand = timm ? "conv_expand" : "_se_expand",
                      .act = Act::silu,
                      .init = b.init(false)});
  const Names narrow = !timm     ? Names{"_project_conv", "_bn2"}
                       : expands ? Names{"conv_pwl", "bn3"}
                                 : Names{"conv_pw", "bn2"};
  y = project(b, net, y, x, unit(b, round_channels(stage.channels, b.net.width), narrow), stride);
  b.resolution = (b.resolution + stride - 1) / stride;
  ++b.index;
  return y;
}

/// The next blocks, up to number `last`.
Tensor blocks(Builder& b, Net net, Tensor x, int last) {
  while (b.index <= last) {
    int stage = 0, i = b.index;
    while (i >= b.repeats(kStages[stage])) i -= b.repeats(kStages[stage++]);
    const Net scope = b.timm() ? net / "blocks" / stage / i : net / "_blocks" / b.index;
    x = block(b, scope, x, kStages[stage], i == 0 ? kStages[stage].stride : 1);
  }
  return x;
}

/// The block whose result is a level's feature: the last one of its size. Of efficientnet-b0's
/// fourth level SMP takes the third but last.
int last_block(const Builder& b, int level) {
  constexpr int stages[] = {0, 0, 2, 3, 5, 7};
  int count = 0;
  for (int i = 0; i < stages[level]; ++i) count += b.repeats(kStages[i]);
  return level == 4 && b.net.name == "efficientnet-b0" ? count - 3 : count - 1;
}

std::vector<Tensor> efficientnet(Net net, Tensor image, const EfficientNet& column, int depth) {
  Builder b{.net = column, .resolution = column.resolution};
  for (const Stage& row : kStages) b.blocks += b.repeats(row);
  ConvBnAct stem = unit(b, round_channels(kStem, column.width),
                        b.timm() ? Names{"conv_stem", "bn1"} : Names{"_conv_stem", "_bn0"});
  stem.conv.kernel = 3;
  stem.conv.stride = 2;
  stem.conv = first_conv(image, stem.conv);
  Tensor x = padded_conv(b, net, image, stem);
  b.resolution = (b.resolution + 1) / 2;
  std::vector<Tensor> features = {image, x};
  for (int level = 2; level <= depth; ++level)
    features.push_back(x = blocks(b, net, x, last_block(b, level)));
  declare_unused(net, x.c(), [&](Net aside, Tensor y) {
    y = blocks(b, aside, y, b.blocks - 1);
    conv_bn_act(aside, y,
                unit(b, round_channels(kHead, column.width),
                     b.timm() ? Names{"conv_head", "bn2"} : Names{"_conv_head", "_bn1"}));
  });
  return features;
}

}  // namespace

std::vector<EncoderRow> efficientnet_encoders() {
  std::vector<EncoderRow> rows;
  for (const EfficientNet& column : columns)
    rows.push_back({column.name, [&column](Net net, Tensor image, int depth) {
                      return efficientnet(net, image, column, depth);
                    }});
  return rows;
}

}  // namespace fjord
