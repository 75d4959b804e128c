// Zhang et al. 2020, "ResNeSt: Split-Attention Networks", with the names that timm gives its parts
// (SMP reads it through timm).
#include <algorithm>
#include <array>
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

struct ResNeSt {
  std::string_view name;
  std::array<int, 4> blocks;
  int stem = 32;
  int radix = 2, groups = 1, group_width = 64;
  bool pool_first = false;  // the average pool of a stride stands before the 3x3
};
constexpr ResNeSt columns[] = {
    {"timm-resnest14d", {1, 1, 1, 1}},
    {"timm-resnest26d", {2, 2, 2, 2}},
    {"timm-resnest50d", {3, 4, 6, 3}},
    {"timm-resnest101e", {3, 4, 23, 3}, 64},
    {"timm-resnest200e", {3, 24, 36, 3}, 64},
    {"timm-resnest269e", {3, 30, 48, 8}, 64},
    {"timm-resnest50d_4s2x40d", {3, 4, 6, 3}, 32, 4, 2, 40, true},
    {"timm-resnest50d_1s4x24d", {3, 4, 6, 3}, 32, 1, 4, 24, true},
};

Conv2dOptions conv(std::int64_t channels, int kernel, int stride = 1, int groups = 1) {
  return {.channels = static_cast<int>(channels),
          .kernel = kernel,
          .stride = stride,
          .groups = groups,
          .init = Init::kaiming_normal_fan_out};
}

/// A 1x1 convolution of a pixel's channels; timm draws its filter anew and leaves its bias.
Tensor dense(Net net, Tensor x, std::int64_t channels, int groups) {
  Conv2dOptions options = conv(channels, 1, 1, groups);
  options.bias = true;
  net.filter("weight", {channels, 1, 1, x.c() / groups}, options.init);
  net.vector("bias", channels, Init::torch_default);
  return conv2d(net, x, options);
}

/// Figure 2: `radix` times as many channels, summed up with weights that their means decide.
Tensor split_attention(Net net, Tensor x, const ResNeSt& column) {
  const std::int64_t width = x.c();
  const int radix = column.radix, groups = column.groups;
  const Tensor splits = conv_bn_act(
      net, x,
      {.conv = conv(width * radix, 3, 1, groups * radix), .conv_name = "conv", .norm_name = "bn0"});
  Tensor s = fold_channels(net, channel_means(net, splits), radix);
  const int narrow = std::max(32, round_channels(static_cast<int>(width) * radix, 0.25));
  s = batch_norm(net / "bn1", dense(net / "fc1", s, narrow, groups), {.act = Act::relu});
  s = dense(net / "fc2", s, width * radix, groups);
  s = radix > 1 ? split_softmax(net, s, {.groups = groups, .splits = radix})
                : activate(net, s, Act::sigmoid);
  return fold_channels(net, scale_channels(net, splits, s), radix);
}

/// The projection after an average pool (He et al. 2019, ResNet-D).
Tensor shortcut(Net net, Tensor x, std::int64_t channels, int stride) {
  if (stride == 1 && x.c() == channels) return x;
  if (stride > 1)
    x = avg_pool(net, x,
                 {.window = {.kernel = 2, .stride = stride, .padding = 0, .ceil = true},
                  .count_padding = false});
  return conv_bn_act(
      net / "downsample", x,
      {.conv = conv(channels, 1), .conv_name = "1", .norm_name = "2", .act = Act::none});
}

Tensor block(Net net, Tensor x, const ResNeSt& column, int channels, int stride) {
  const AvgPool2d halve{.window = {.kernel = 3, .stride = stride, .padding = 1}};
  const int width = channels * column.group_width / 64 * column.groups;
  Tensor y =
      conv_bn_act(net, x, {.conv = conv(width, 1), .conv_name = "conv1", .norm_name = "bn1"});
  if (stride > 1 && column.pool_first) y = avg_pool(net, y, halve);
  y = split_attention(net / "conv2", y, column);
  if (stride > 1 && !column.pool_first) y = avg_pool(net, y, halve);
  ConvBnAct third{.conv = conv(4 * channels, 1), .conv_name = "conv3", .norm_name = "bn3"};
  // A fresh block begins as its shortcut.
  declare_conv_bn(net, y.c(), third, Init::zeros);
  third.residual = shortcut(net, x, 4 * channels, stride);
  return conv_bn_act(net, y, third);
}

/// Three 3x3 convolutions in the place of a ResNet's 7x7.
Tensor stem(Net net, Tensor image, int width) {
  const Net parts = net / "conv1";
  Tensor x = conv_bn_act(parts, image, {.conv = first_conv(image, conv(width, 3, 2))});
  x = conv_bn_act(parts, x, {.conv = conv(width, 3), .conv_name = "3", .norm_name = "4"});
  return conv_bn_act(net, x,
                     {.conv = conv(2 * width, 3), .conv_name = "conv1.6", .norm_name = "bn1"});
}

/// Stages deeper than the depth are left out of timm's files.
std::vector<Tensor> resnest(Net encoder, Tensor image, const ResNeSt& column, int depth) {
  const Net net = encoder / "model";
  Tensor x = stem(net, image, column.stem);
  std::vector<Tensor> features = {image, x};
  x = max_pool(net, x, {.kernel = 3, .stride = 2, .padding = 1});
  for (int level = 1; level < depth; ++level) {
    for (int i = 0; i < column.blocks[level - 1]; ++i)
      x = block(net / ("layer" + std::to_string(level)) / i, x, column, 64 << (level - 1),
                level > 1 && i == 0 ? 2 : 1);
    features.push_back(x);
  }
  return features;
}

}  // namespace

std::vector<EncoderRow> resnest_encoders() {
  std::vector<EncoderRow> rows;
  for (const ResNeSt& column : columns)
    rows.push_back({column.name, [&column](Net net, Tensor image, int depth) {
                      return resnest(net, image, column, depth);
                    }});
  return rows;
}

}  // namespace fjord
