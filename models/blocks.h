// What the model files share: the zoo's rows and the pieces that several papers have in common.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "engine/ops.h"
#include "models/models.h"

namespace fjord {

/// Encoder features f0 (the image) to f_depth. The net is the encoder's own scope.
using EncoderFunction = std::function<std::vector<Tensor>(Net, Tensor image, int depth)>;
struct EncoderRow {
  std::string_view name;
  EncoderFunction build;
};

/// image -> logits. The net is the whole model's scope.
using ArchitectureFunction = Tensor (*)(Net, Tensor image, const ModelOptions&);
struct ArchitectureRow {
  std::string_view name;
  ArchitectureFunction build;
};

/// One function a paper; the zoo strings their rows together.
std::vector<EncoderRow> resnet_encoders();
Tensor unet(Net net, Tensor image, const ModelOptions& options);

/// 3x3 convolution, batch norm, ReLU under the scopes "0" and "1": SMP's Conv2dReLU.
Tensor conv_bn_relu(Net net, Tensor x, int channels);

/// A convolution with bias under the scope "0": SMP's SegmentationHead.
struct SegmentationHead {
  int classes = 1;
  int kernel = 3;
};
Tensor segmentation_head(Net net, Tensor x, SegmentationHead head);

/// Creates the parameters of conv_bn_act(net, x, unit) ahead of its recording, where files list
/// them earlier than the figure computes them. `in_channels` are those of x.
void declare_conv_bn(Net net, std::int64_t in_channels, const ConvBnAct& unit);

}  // namespace fjord
