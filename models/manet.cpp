// Fan et al. 2020, "MA-Net: A Multi-Scale Attention Network for Liver and Tumor Segmentation",
// Figures 2 to 4, as SMP builds it.
#include <algorithm>

#include "kernels/error.h"
#include "models/blocks.h"

namespace fjord {

namespace {

Conv2dOptions conv(std::int64_t channels, int kernel) {
  return {.channels = static_cast<int>(channels),
          .kernel = kernel,
          .bias = true,
          .init = Init::kaiming_uniform_fan_in};
}

/// Figure 3, attention between positions. As in SMP the softmax is over all pairs of pixels, and
/// its product with the features, a row a pixel, is then read as if it had a row a channel.
Tensor position_attention(Net net, Tensor x, int width) {
  const std::int64_t pixels = x.h() * x.w(), channels = x.c();
  const Tensor top = conv2d(net / "top_conv", x, conv(width, 1));
  const Tensor center = conv2d(net / "center_conv", x, conv(width, 1));
  const Tensor bottom = conv2d(net / "bottom_conv", x, conv(channels, 3));
  Tensor pairs = matrix_multiply(
      net, center, top, {.rows = pixels, .columns = pixels, .inner = width, .transpose_b = true},
      {x.n(), 1, 1, pixels * pixels});
  pairs = split_softmax(net, pairs, {.groups = 1, .splits = static_cast<int>(pixels * pixels)});
  const Tensor mixed = matrix_multiply(
      net, pairs, bottom, {.rows = pixels, .columns = channels, .inner = pixels}, x.shape());
  return conv2d(net / "out_conv", add(net, x, transposed(net, mixed, channels)), conv(channels, 3));
}

/// Figure 4: what comes from below is made as wide as the skip, and scaled by what both say.
Tensor fusion_block(Net net, Tensor x, Tensor skip, int channels, const ModelOptions& options) {
  const DecoderNorm norm = options.decoder_norm;
  const int beside = static_cast<int>(skip.c());
  x = conv_relu(net / "hl_conv" / 0, x, {.channels = static_cast<int>(x.c()), .norm = norm});
  x = conv_relu(net / "hl_conv" / 1, x, {.channels = beside, .kernel = 1, .norm = norm});
  x = resize(net, x, skip.h(), skip.w(), options.interpolation);
  const SqueezeExcite gate{.width = std::max(1, beside / 16),
                           .reduce = "1",
                           .expand = "3",
                           .init = Init::kaiming_uniform_fan_in};
  const Tensor low = excitation(net / "SE_ll", skip, gate);
  const Tensor high = excitation(net / "SE_hl", x, gate);
  x = upsample_concat(net, scale_channels(net, x, add(net, high, low)), skip);
  x = conv_relu(net / "conv1", x, {.channels = channels, .norm = norm});
  return conv_relu(net / "conv2", x, {.channels = channels, .norm = norm});
}

// The attention is over all pairs of the deepest feature's pixels, which are counted in 32 bits.
void demand_countable(Tensor image, Tensor deepest, const ModelOptions& options) {
  constexpr std::int64_t side = 215;
  const std::int64_t pixels = deepest.h() * deepest.w();
  if (pixels <= side * side) return;
  throw Error(ExitCode::usage, "image-size", fmt::format("images of {}x{}", image.h(), image.w()),
              fmt::format("manet's attention is between every two of {} positions, {} is the most",
                          pixels, side * side),
              fmt::format("use --size {} or less", side << options.encoder_depth));
}

}  // namespace

Tensor manet(Net net, const Features& features, const ModelOptions& options) {
  const Net decoder = net / "decoder";
  const int depth = options.encoder_depth;
  demand_countable(features[0], features[depth], options);
  Tensor x = position_attention(decoder / "center", features[depth], options.pab_channels);
  for (int i = 0; i + 1 < depth; ++i)
    x = fusion_block(decoder / "blocks" / i, x, features[depth - 1 - i],
                     options.decoder_channels[i], options);
  x = decoder_block(decoder / "blocks" / (depth - 1), x,
                    {.size = features[0], .channels = options.decoder_channels[depth - 1]},
                    options);
  return segmentation_head(net / "segmentation_head", x, {.classes = options.classes, .kernel = 3});
}

}  // namespace fjord
