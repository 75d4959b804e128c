// Hu, Shen, Sun 2018, "Squeeze-and-Excitation Networks", Tables 1 and 2, with the names that
// pretrainedmodels and SMP give their parts.
#include <array>
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

/// Which convolution of a block has the stride, and how the widths follow from the stage's: as in
/// SE-ResNet, SE-ResNeXt, SENet-154.
enum class Kind : std::uint8_t { resnet, resnext, senet };

struct SENet {
  std::string_view name;
  Kind kind;
  std::array<int, 4> blocks;
  int groups = 1;
};
constexpr SENet columns[] = {
    {"se_resnet50", Kind::resnet, {3, 4, 6, 3}},
    {"se_resnet101", Kind::resnet, {3, 4, 23, 3}},
    {"se_resnet152", Kind::resnet, {3, 8, 36, 3}},
    {"se_resnext50_32x4d", Kind::resnext, {3, 4, 6, 3}, 32},
    {"se_resnext101_32x4d", Kind::resnext, {3, 4, 23, 3}, 32},
    {"senet154", Kind::senet, {3, 8, 36, 3}, 64},
};

/// The identity, or its projection; SENet-154 projects by 3x3 where it halves the size.
Tensor shortcut(Net net, Tensor x, const SENet& column, int channels, int stride) {
  if (stride == 1 && x.c() == channels) return x;
  const int kernel = column.kind == Kind::senet && stride == 2 ? 3 : 1;
  return conv_bn_act(
      net / "downsample", x,
      {.conv = {.channels = channels, .kernel = kernel, .stride = stride}, .act = Act::none});
}

/// Figure 3: a bottleneck whose result is scaled channel by channel before the shortcut is added.
Tensor block(Net net, Tensor x, const SENet& column, int channels, int stride) {
  const int first = column.kind == Kind::resnet ? channels : 2 * channels;
  const int second = column.kind == Kind::senet ? 4 * channels : first;
  const int stride1 = column.kind == Kind::resnet ? stride : 1;
  Tensor y = conv_bn_act(net, x,
                         {.conv = {.channels = first, .kernel = 1, .stride = stride1},
                          .conv_name = "conv1",
                          .norm_name = "bn1"});
  y = conv_bn_act(
      net, y,
      {.conv = {.channels = second, .stride = stride / stride1, .groups = column.groups},
       .conv_name = "conv2",
       .norm_name = "bn2"});
  y = conv_bn_act(net, y,
                  {.conv = {.channels = 4 * channels, .kernel = 1},
                   .conv_name = "conv3",
                   .norm_name = "bn3",
                   .act = Act::none});
  y = squeeze_excite(net / "se_module", y, {.width = channels / 4});
  return relu(net, add(net, y, shortcut(net, x, column, 4 * channels, stride)));
}

Tensor stage(Net net, Tensor x, const SENet& column, int level) {
  for (int i = 0; i < column.blocks[level - 1]; ++i)
    x = block(net / ("layer" + std::to_string(level)) / i, x, column, 64 << (level - 1),
              level > 1 && i == 0 ? 2 : 1);
  return x;
}

/// SENet-154 begins with three 3x3 convolutions in place of the 7x7.
Tensor stem(Net net, Tensor image, const SENet& column) {
  if (column.kind != Kind::senet)
    return conv_bn_act(net, image,
                       {.conv = {.channels = 64, .kernel = 7, .stride = 2},
                        .conv_name = "conv1",
                        .norm_name = "bn1"});
  Tensor x = conv_bn_act(
      net, image,
      {.conv = {.channels = 64, .stride = 2}, .conv_name = "conv1", .norm_name = "bn1"});
  x = conv_bn_act(net, x, {.conv = {.channels = 64}, .conv_name = "conv2", .norm_name = "bn2"});
  return conv_bn_act(net, x, {.conv = {.channels = 128}, .conv_name = "conv3", .norm_name = "bn3"});
}

std::vector<Tensor> senet(Net net, Tensor image, const SENet& column, int depth) {
  Tensor x = stem(net / "layer0", image, column);
  std::vector<Tensor> features = {image, x};
  x = max_pool(net, x, {.kernel = 3, .stride = 2, .padding = 0, .ceil = true});
  for (int level = 1; level < depth; ++level) features.push_back(x = stage(net, x, column, level));
  declare_unused(net, x.c(), [&](Net aside, Tensor y) {
    for (int level = depth; level <= 4; ++level) y = stage(aside, y, column, level);
  });
  return features;
}

}  // namespace

std::vector<EncoderRow> senet_encoders() {
  std::vector<EncoderRow> rows;
  for (const SENet& column : columns)
    rows.push_back({column.name, [&column](Net net, Tensor image, int depth) {
                      return senet(net, image, column, depth);
                    }});
  return rows;
}

}  // namespace fjord
