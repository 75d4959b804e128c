// Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", Table 2, with the
// names that torchvision and SMP give its parts.
#include "models/blocks.h"

namespace fjord {

namespace {

/// A row of Table 2: expansion, channels, repeats, the first one's stride.
struct Row {
  int expand, channels, repeats, stride;
};
constexpr Row kRows[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                         {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

ConvBnAct unit(std::int64_t channels, int kernel, int stride = 1, std::int64_t groups = 1) {
  return {.conv = {.channels = static_cast<int>(channels),
                   .kernel = kernel,
                   .stride = stride,
                   .groups = static_cast<int>(groups),
                   .init = Init::kaiming_normal_fan_out},
          .act = Act::relu6};
}

/// Figure 4d: widen, filter each channel, narrow without an activation.
Tensor inverted_residual(Net net, Tensor x, const Row& row, int stride) {
  Tensor y = x;
  int part = 0;
  if (row.expand > 1) y = conv_bn_act(net / "conv" / part++, y, unit(x.c() * row.expand, 1));
  y = conv_bn_act(net / "conv" / part++, y, unit(y.c(), 3, stride, y.c()));
  ConvBnAct narrow = unit(row.channels, 1);
  narrow.act = Act::none;
  const std::string conv = std::to_string(part), norm = std::to_string(part + 1);
  narrow.conv_name = conv.c_str();
  narrow.norm_name = norm.c_str();
  if (stride == 1 && x.c() == row.channels) narrow.residual = x;
  return conv_bn_act(net / "conv", y, narrow);
}

/// Parts `first` to `last` of Table 2, the stem being 0; features are the last of each size.
Tensor parts(Net net, Tensor x, int first, int last) {
  int index = 1;
  for (const Row& row : kRows)
    for (int i = 0; i < row.repeats; ++i, ++index)
      if (index >= first && index <= last)
        x = inverted_residual(net / index, x, row, i == 0 ? row.stride : 1);
  if (index >= first && last >= index) x = conv_bn_act(net / index, x, unit(1280, 1));
  return x;
}

std::vector<Tensor> mobilenet_v2(Net net, Tensor image, int depth) {
  constexpr int ends[] = {0, 1, 3, 6, 13, 18};
  const Net features = net / "features";
  ConvBnAct stem = unit(32, 3, 2);
  stem.conv = first_conv(image, stem.conv);
  Tensor x = conv_bn_act(features / 0, image, stem);
  std::vector<Tensor> list = {image};
  for (int level = 1; level <= depth; ++level)
    list.push_back(x = parts(features, x, ends[level - 1] + 1, ends[level]));
  declare_unused(features, x.c(),
                 [&](Net aside, Tensor y) { parts(aside, y, ends[depth] + 1, ends[5]); });
  return list;
}

}  // namespace

std::vector<EncoderRow> mobilenet_encoders() { return {{"mobilenet_v2", mobilenet_v2}}; }

}  // namespace fjord
