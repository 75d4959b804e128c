// Chaurasia and Culurciello 2017, "LinkNet: Exploiting Encoder Representations for Efficient
// Semantic Segmentation", Figures 1 and 2, as SMP builds it.
#include "models/blocks.h"

namespace fjord {

namespace {

constexpr int kLast = 32;  // channels before the head

/// Figure 2: narrow to a quarter, double the size by a transposed convolution, widen.
Tensor block(Net net, Tensor x, int channels, const ModelOptions& options) {
  const int narrow = static_cast<int>(x.c() / 4);
  x = conv_relu(net / 0, x, {.channels = narrow, .kernel = 1, .norm = options.decoder_norm});
  x = conv_transpose2d(net / 1 / 0, x,
                       {.channels = narrow, .kernel = 4, .stride = 2, .padding = 1, .bias = true});
  x = norm_relu(net / 1 / 1, x, options.decoder_norm);
  return conv_relu(net / 2, x, {.channels = channels, .kernel = 1, .norm = options.decoder_norm});
}

}  // namespace

Tensor linknet(Net net, const Features& features, const ModelOptions& options) {
  const int depth = options.encoder_depth;
  Tensor x = features[depth];
  for (int i = 0; i < depth; ++i) {
    const Net scope = net / "decoder" / "blocks" / i / "block";
    const bool last = i + 1 == depth;
    const Tensor skip = features[depth - 1 - i];
    x = block(scope, x, last ? kLast : static_cast<int>(skip.c()), options);
    if (!last) x = add(scope, x, skip);
  }
  return segmentation_head(net / "segmentation_head", x, {.classes = options.classes, .kernel = 1});
}

}  // namespace fjord
