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

/// Of networks on 8 images of 512 x 512, as the engine records them.
struct Zoo {
  std::vector<ZooConv> convolutions;
  /// The first of a decoder's block, which reads through enlarging and joining; among
  /// `convolutions` it is there as well, of the joined image.
  std::vector<ZooUpsampleConv> enlarging;
};

/// Unet-resnet18 and -resnet34.
const Zoo& zoo();
/// Three networks whose convolutions those do not have: depthwise, grouped, 1x1, transposed. With
/// `all` Unet on every encoder, and every other architecture on six.
Zoo wider_zoo(bool all);

}  // namespace fjord
