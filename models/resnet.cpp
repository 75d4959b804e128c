// He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition", Table 1, with the names
// that torchvision and SMP give its parts.
#include <array>
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

/// A column of Table 1: how many blocks conv2_x to conv5_x have.
struct ResNet {
  std::string_view name;
  std::array<int, 4> blocks;
};
constexpr ResNet columns[] = {
    {"resnet18", {2, 2, 2, 2}},
    {"resnet34", {3, 4, 6, 3}},
};

Conv2dOptions conv(int channels, int kernel, int stride) {
  return {.channels = channels,
          .kernel = kernel,
          .stride = stride,
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

/// conv2_x to conv5_x of Table 1 (level 1 to 4): all but the first halve the size.
Tensor stage(Net net, Tensor x, const ResNet& column, int level) {
  for (int i = 0; i < column.blocks[level - 1]; ++i)
    x = basic_block(net / ("layer" + std::to_string(level)) / i, x, 64 << (level - 1),
                    level > 1 && i == 0 ? 2 : 1);
  return x;
}

/// Stages deeper than the depth keep their parameters in SMP's files: recorded once, on a tape that
/// is thrown away.
void declare_stages(Net net, const ResNet& column, int first, std::int64_t channels) {
  if (net.tape->parameters.allocated()) return;
  Tape unused(net.tape->parameters, net.tape->options);
  const Net aside{&unused, net.path, net.frozen};
  Tensor x = aside.tensor({.n = 1, .h = 16, .w = 16, .c = channels});
  for (int level = first; level <= 4; ++level) x = stage(aside, x, column, level);
}

std::vector<Tensor> resnet(Net net, Tensor image, const ResNet& column, int depth) {
  Conv2dOptions stem = conv(64, 7, 2);
  if (image.c() != 3) stem.init = Init::torch_default;  // SMP replaces this convolution
  Tensor x = conv_bn_act(net, image, {.conv = stem, .conv_name = "conv1", .norm_name = "bn1"});
  std::vector<Tensor> features = {image, x};
  x = max_pool(net, x, {.kernel = 3, .stride = 2, .padding = 1});
  for (int level = 1; level < depth; ++level) features.push_back(x = stage(net, x, column, level));
  declare_stages(net, column, depth, x.c());
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
