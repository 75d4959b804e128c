// Zhou et al. 2018, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", Figure
// 1a, as SMP builds it.
#include <string>

#include "models/blocks.h"

namespace fjord {

namespace {

/// Row d meets the encoder's feature of level d + 1 (0: the deepest); its node of column l - d has
/// all nodes of the rows below that l has, and the encoder's feature, beside it.
struct Nodes {
  const ModelOptions& options;
  std::vector<Tensor> features;  // deepest first, without the image
  Tensor image;

  int last() const { return static_cast<int>(features.size()) - 1; }
  std::string name(int d, int l) const { return fmt::format("x_{}_{}", d, l); }
  int channels(int d, int l) const {
    return d == 0 ? options.decoder_channels[l] : static_cast<int>(features[l + 1].c());
  }
  /// Of what a node enlarges: the node before it.
  std::int64_t inputs(int d, int l) const { return d == l ? features[d].c() : channels(d, l - 1); }
};

/// Parameters in the order of SMP's files, which is not that of the figure.
void declare_nodes(Net net, const Nodes& nodes) {
  declare(net, [&](Net aside) {
    for (int l = 0; l < nodes.last(); ++l)
      for (int d = 0; d <= l; ++d) {
        const std::int64_t beside = nodes.features[l + 1].c() * (l + 1 - d);
        decoder_block(aside / nodes.name(d, l), aside.tensor({1, 2, 2, nodes.inputs(d, l)}),
                      {.skip = aside.tensor({1, 4, 4, beside}), .channels = nodes.channels(d, l)},
                      nodes.options);
      }
  });
}

Tensor concat(Net net, const std::vector<Tensor>& parts) {
  Tensor x = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) x = upsample_concat(net, x, parts[i]);
  return x;
}

struct Decoded {
  Tensor mask;
  std::vector<Tensor> inner;  // the largest node of each other row, deepest first
};

Decoded decoder(Net net, const Nodes& nodes) {
  const int last = nodes.last();
  declare_nodes(net, nodes);
  std::vector<std::vector<Tensor>> x(last, std::vector<Tensor>(last));
  for (int column = 0; column < last; ++column)
    for (int d = 0; d + column < last; ++d) {
      const int l = d + column;
      std::vector<Tensor> beside;
      for (int below = d + 1; below <= l; ++below) beside.push_back(x[below][l]);
      beside.push_back(nodes.features[l + 1]);
      const Net node = net / nodes.name(d, l);
      x[d][l] = decoder_block(
          node, column == 0 ? nodes.features[d] : x[d][l - 1],
          {.skip = concat(node / "skip", beside), .channels = nodes.channels(d, l)}, nodes.options);
    }
  Decoded decoded;
  decoded.mask =
      decoder_block(net / nodes.name(0, last), x[0][last - 1],
                    {.size = nodes.image, .channels = nodes.channels(0, last)}, nodes.options);
  for (int d = 1; d < last; ++d) decoded.inner.push_back(x[d][last - 1]);
  return decoded;
}

// Section 3.2: a head on every node of half the image's size, whose logits are enlarged to it.
void supervise(Net net, const std::vector<Tensor>& inner, Tensor image,
               const ModelOptions& options) {
  for (std::size_t i = 0; i < inner.size(); ++i) {
    const Net head = (net / static_cast<int>(i)).for_training_only();
    const Tensor logits = segmentation_head(head, inner[i], {.classes = options.classes});
    net.tape->inner_logits.push_back(
        {resize(head, logits, image.h(), image.w(), Interpolation::bilinear),
         options.deep_supervision});
  }
}

}  // namespace

Tensor unetplusplus(Net net, const Features& features, const ModelOptions& options) {
  const Nodes nodes{options, {features.rbegin(), features.rend() - 1}, features[0]};
  const Decoded decoded = decoder(net / "decoder" / "blocks", nodes);
  const Tensor logits = segmentation_head(net / "segmentation_head", decoded.mask,
                                          {.classes = options.classes, .kernel = 3});
  if (options.deep_supervision > 0 && (net.training() || net.declaring()))
    supervise(net / "deep_supervision", decoded.inner, nodes.image, options);
  return logits;
}

}  // namespace fjord
