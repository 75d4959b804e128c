// Pieces that several papers have in common, with SMP's scopes and initialisation.
#include "models/blocks.h"

namespace fjord {

Tensor conv_bn_relu(Net net, Tensor x, int channels) {
  return conv_bn_act(net, x,
                     {.conv = {.channels = channels, .init = Init::kaiming_uniform_fan_in}});
}

Tensor segmentation_head(Net net, Tensor x, SegmentationHead head) {
  return conv2d(net / 0, x,
                {.channels = head.classes,
                 .kernel = head.kernel,
                 .bias = true,
                 .init = Init::xavier_uniform});
}

void declare_conv_bn(Net net, std::int64_t in_channels, const ConvBnAct& unit) {
  const Conv2dOptions& conv = unit.conv;
  (net / unit.conv_name)
      .filter("weight", {conv.channels, conv.kernel, conv.kernel, in_channels / conv.groups},
              conv.init);
  const Net norm = net / unit.norm_name;
  norm.vector("weight", conv.channels, Init::ones);
  norm.vector("bias", conv.channels, Init::zeros);
  norm.statistic("running_mean", conv.channels, Init::zeros);
  norm.statistic("running_var", conv.channels, Init::ones);
  norm.counter("num_batches_tracked");
}

}  // namespace fjord
