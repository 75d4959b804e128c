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

/// Encoder features -> logits. The net is the whole model's scope.
using Features = std::vector<Tensor>;
using ArchitectureFunction = Tensor (*)(Net, const Features&, const ModelOptions&);
struct ArchitectureRow {
  std::string_view name;
  ArchitectureFunction build;
};

/// One function a paper; the zoo strings their rows together.
std::vector<EncoderRow> resnet_encoders();
std::vector<EncoderRow> senet_encoders();
std::vector<EncoderRow> mobilenet_encoders();
std::vector<EncoderRow> efficientnet_encoders();
std::vector<EncoderRow> resnest_encoders();
Tensor unet(Net net, const Features& features, const ModelOptions& options);
Tensor unetplusplus(Net net, const Features& features, const ModelOptions& options);
Tensor linknet(Net net, const Features& features, const ModelOptions& options);
Tensor manet(Net net, const Features& features, const ModelOptions& options);

/// Throws Error{usage} unless the stride of the deepest feature divides the image's size.
void demand_divisible(Tensor image, const ModelOptions& options);

/// Convolution, norm, ReLU under the scopes "0" and "1": SMP's Conv2dReLU. Without a norm the
/// convolution has a bias.
struct ConvReLU {
  int channels = 0, kernel = 3;
  DecoderNorm norm = DecoderNorm::batchnorm;
};
Tensor conv_relu(Net net, Tensor x, const ConvReLU& unit);
Tensor norm_relu(Net net, Tensor x, DecoderNorm norm);

/// A step of a U-Net's right arm: x at the skip's size (without a skip, at `size`'s), beside it,
/// two convolutions; attention after the concatenation and at the end, where the options ask for
/// it.
struct DecoderBlock {
  Tensor skip = {}, size = {};
  int channels = 0;
};
Tensor decoder_block(Net net, Tensor x, const DecoderBlock& block, const ModelOptions& options);

/// A convolution with bias under the scope "0": SMP's SegmentationHead.
struct SegmentationHead {
  int classes = 1;
  int kernel = 3;
};
Tensor segmentation_head(Net net, Tensor x, SegmentationHead head);

/// Pooling, dropout, and a layer under the scope "3": SMP's ClassificationHead.
Tensor classification_head(Net net, Tensor x, const ClassificationHead& head);

/// Creates the parameters of conv_bn_act(net, x, unit) ahead of its recording, where files list
/// them earlier than the figure computes them. `in_channels` are those of x; `slope` is how the
/// norm's weight begins.
void declare_conv_bn(Net net, std::int64_t in_channels, const ConvBnAct& unit,
                     Init slope = Init::ones);

/// An encoder's first convolution: SMP replaces it where the image has other than 3 channels.
Conv2dOptions first_conv(Tensor image, Conv2dOptions conv);

/// Creates parameters ahead of their use: `record` is run once, on a tape that is thrown away, with
/// tensors of its own making.
void declare(Net net, const std::function<void(Net aside)>& record);
/// SMP's files keep an encoder's parts that nothing reads (stages deeper than the depth, heads):
/// declared on an x of that many channels.
void declare_unused(Net net, std::int64_t channels,
                    const std::function<void(Net aside, Tensor x)>& record);

/// Hu, Shen, Sun 2018, "Squeeze-and-Excitation Networks", Figure 2: x times a number a channel,
/// made from all channels' means. Scopes `reduce` and `expand`.
struct SqueezeExcite {
  int width = 1;  // between the two 1x1 convolutions
  const char* reduce = "fc1";
  const char* expand = "fc2";
  Act act = Act::relu;
  Init init = Init::torch_default;
};
/// Those numbers alone, n x 1 x 1 x c.
Tensor excitation(Net net, Tensor x, const SqueezeExcite& unit);
Tensor squeeze_excite(Net net, Tensor x, const SqueezeExcite& unit);

/// `width` times `factor`, rounded to a multiple of 8 that is not below nine tenths of it.
int round_channels(int width, double factor);

}  // namespace fjord
