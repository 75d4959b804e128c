// Every convolution of the zoo's networks at a training size, each shape once.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv.h"

namespace fjord {

struct ZooConv {
  std::string layer;  // where it was met first
  ConvShape shape;
};
struct ZooUpsampleConv {
  std::string layer;
  UpsampleConvShape shape;
};

/// Networks on 8 images of 512 x 512, recorded by the engine: Unet-resnet18 and -resnet34.
std::vector<ZooConv> zoo_convolutions();
/// The same of networks whose convolutions those do not have: depthwise, grouped, 1x1, transposed;
/// a few of them, and a dozen more.
enum class Zoo : std::uint8_t { few, all };
std::vector<ZooConv> wider_zoo_convolutions(Zoo zoo);
/// The first convolutions of U-Net's decoder blocks, where the skip connection joins.
std::vector<ZooUpsampleConv> zoo_upsample_convolutions();

}  // namespace fjord
