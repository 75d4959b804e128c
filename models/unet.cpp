// Ronneberger, Fischer, Brox 2015, "U-Net: Convolutional Networks for Biomedical Image
// Segmentation", Figure 1, as SMP builds it: any encoder as the left arm, nearest upsampling,
// "same" padding.
#include "models/blocks.h"

namespace fjord {

namespace {

/// The right arm. Every level takes the size of the feature it meets, so any image size works; the
/// last one takes the image's size, without its channels.
Tensor decoder(Net net, const std::vector<Tensor>& features, const std::vector<int>& channels) {
  const int depth = static_cast<int>(features.size()) - 1;
  Tensor x = features[depth];
  for (int i = 0; i < depth; ++i) {
    const Net block = net / "blocks" / i;
    const Tensor skip = features[depth - 1 - i];
    x = i + 1 < depth ? upsample_concat(block, x, skip) : upsample(block, x, skip.h(), skip.w());
    x = conv_bn_relu(block / "conv1", x, channels[i]);
    x = conv_bn_relu(block / "conv2", x, channels[i]);
  }
  return x;
}

}  // namespace

Tensor unet(Net net, Tensor image, const ModelOptions& options) {
  const std::vector<Tensor> features = build_encoder(net / "encoder", image, options);
  const Tensor x = decoder(net / "decoder", features, options.decoder_channels);
  return segmentation_head(net / "segmentation_head", x, {.classes = options.classes, .kernel = 3});
}

}  // namespace fjord
