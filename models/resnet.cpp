// He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition", Table 1; Xie et al.
// 2017, "Aggregated Residual Transformations for Deep Neural Networks"; with the names that
// torchvision and SMP give their parts.
#include <array>
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

enum class Block : std::uint8_t { basic, bottleneck };

/// A column of Table 1: how many blocks conv2_x to conv5_x have; of ResNeXt: how many groups its
/// 3x3 convolutions have, and how wide one is in conv2_x.
struct ResNet {
  std::string_view name;
  Block block;
  std::array<int, 4> blocks;
  int groups = 1, group_width = 64;
};
constexpr ResNet columns[] = {
    {"resnet18", Block::basic, {2, 2, 2, 2}},
    {"resnet34", Block::basic, {3, 4, 6, 3}},
    {"resnet50", Block::bottleneck, {3, 4, 6, 3}},
    {"resnet101", Block::bottleneck, {3, 4, 23, 3}},
    {"resnet152", Block::bottleneck, {3, 8, 36, 3}},
    {"resnext50_32x4d", Block::bottleneck, {3, 4, 6, 3}, 32, 4},
    {"resnext101_32x4d", Block::bottleneck, {3, 4, 23, 3}, 32, 4},
    {"resnext101_32x8d", Block::bottleneck, {3, 4, 23, 3}, 32, 8},
    {"resnext101_32x16d", Block::bottleneck, {3, 4, 23, 3}, 32, 16},
    {"resnext101_32x32d", Block::bottleneck, {3, 4, 23, 3}, 32, 32},
    {"resnext101_32x48d", Block::bottleneck, {3, 4, 23, 3}, 32, 48},
};

Conv2dOptions conv(int channels, int kernel, int stride, int groups = 1) {
  return {.channels = channels,
          .kernel = kernel,
          .stride = stride,
          .groups = groups,
          .init = Init::kaiming_normal_fan_out};
}

/// The identity, or its projection where the shape changes (option B of the paper).
Tensor shortcut(Net net, Tensor x, int channels, int stride) {
  if (stride == 1 && x.c() == channels) return x;
  return conv_bn_act(net / "downsample", x, {.conv = conv(channels, 1, stride), .act = Act::none});
}

/// Figure 5, left: y = relu(F(x) + shortcut(x)) with two 3x3 convolutions in F.
Tensor basic_block(Net net, Tensor x, int channels, int stride) {
  const Tensor y = conv_bn_act(
      net, x, {.conv = conv(channels, 3, stride), .conv_name = "conv1", .norm_name = "bn1"});
  ConvBnAct second{.conv = conv(channels, 3, 1), .conv_name = "conv2", .norm_name = "bn2"};
  declare_conv_bn(net, y.c(), second);  // files list it before the shortcut
  second.residual = shortcut(net, x, channels, stride);
  return conv_bn_act(net, y, second);
}

/// Figure 5, right: narrow by 1x1, 3x3 (in groups: ResNeXt's Figure 3c), widen to four times the
/// channels by 1x1. The stride is the 3x3's, as torchvision has it.
Tensor bottleneck(Net net, Tensor x, const ResNet& column, int channels, int stride) {
  const int width = channels * column.group_width / 64 * column.groups;
  Tensor y =
      conv_bn_act(net, x, {.conv = conv(width, 1, 1), .conv_name = "conv1", .norm_name = "bn1"});
  y = conv_bn_act(
      net, y,
      {.conv = conv(width, 3, stride, column.groups), .conv_name = "conv2", .norm_name = "bn2"});
  ConvBnAct third{.conv = conv(4 * channels, 1, 1), .conv_name = "conv3", .norm_name = "bn3"};
  declare_conv_bn(net, y.c(), third);
  third.residual = shortcut(net, x, 4 * channels, stride);
  return conv_bn_act(net, y, third);
}

/// conv2_x to conv5_x of Table 1 (level 1 to 4): all but the first halve the size.
Tensor stage(Net net, Tensor x, const ResNet& column, int level) {
  const int channels = 64 << (level - 1);
  for (int i = 0; i < column.blocks[level - 1]; ++i) {
    const Net block = net / ("layer" + std::to_string(level)) / i;
    const int stride = level > 1 && i == 0 ? 2 : 1;
    x = column.block == Block::basic ? basic_block(block, x, channels, stride)
                                     : bottleneck(block, x, column, channels, stride);
  }
  return x;
}

std::vector<Tensor> resnet(Net net, Tensor image, const ResNet& column, int depth) {
  Tensor x = conv_bn_act(
      net, image,
      {.conv = first_conv(image, conv(64, 7, 2)), .conv_name = "conv1", .norm_name = "bn1"});
  std::vector<Tensor> features = {image, x};
  x = max_pool(net, x, {.kernel = 3, .stride = 2, .padding = 1});
  for (int level = 1; level < depth; ++level) features.push_back(x = stage(net, x, column, level));
  declare_unused(net, x.c(), [&](Net aside, Tensor y) {
    for (int level = depth; level <= 4; ++level) y = stage(aside, y, column, level);
  });
  return features;
}

}  // namespace

std::vector<EncoderRow> resnet_encoders() {
  std::vector<EncoderRow> rows;
  for (const ResNet& column : columns)
    rows.push_back({column.name, [&column](Net net, Tensor image, int depth) {
                      return resnet(net, image, column, depth);
                    }});
  return rows;
}

}  // namespace fjord
