// Ronneberger, Fischer, Brox 2015, "U-Net: Convolutional Networks for Biomedical Image
// Segmentation", Figure 1, as SMP builds it: any encoder as the left arm, "same" padding.
#include "models/blocks.h"

namespace fjord {

namespace {

/// The right arm. Every level takes the size of the feature it meets, so any image size works; the
/// last one takes the image's size, without its channels.
Tensor decoder(Net net, const Features& features, const ModelOptions& options) {
  const int depth = static_cast<int>(features.size()) - 1;
  Tensor x = features[depth];
  for (int i = 0; i < depth; ++i) {
    const Tensor skip = features[depth - 1 - i];
    x = decoder_block(net / "blocks" / i, x,
                      {.skip = i + 1 < depth ? skip : Tensor{},
                       .size = skip,
                       .channels = options.decoder_channels[i]},
                      options);
  }
  return x;
}

}  // namespace

Tensor unet(Net net, const Features& features, const ModelOptions& options) {
  const Tensor x = decoder(net / "decoder", features, options);
  return segmentation_head(net / "segmentation_head", x, {.classes = options.classes, .kernel = 3});
}

}  // namespace fjord
