// Squeeze and excite, split attention: sums over the pixels of a channel, and channels scaled by a
// number each; the two are each other's gradients. Likewise over the channels of a pixel.
#pragma once

#include "kernels/host_device.h"
#include "kernels/kernel.h"

namespace fjord {

/// x (n x h x w x c; absent: ones), s (g x 1 x 1 x c, g divides n) -> y = factor * x * s, each of g
/// rows of s for n / g images.
inline Kernel<In, In, Out, double> channel_scale{"channel_scale"};
/// a, b (of one shape; b absent: ones) -> y (g x 1 x 1 x c) = factor * sum of a * b over the pixels
/// of n / g images each.
inline Kernel<In, In, Out, double> channel_sums{"channel_sums"};

/// x (n x h x w x c), s (n x h x w x 1) -> y = x * s.
inline Kernel<In, In, Out> pixel_scale{"pixel_scale"};
/// a, b -> y (n x h x w x 1) = sum of a * b over the channels.
inline Kernel<In, In, Out> pixel_sums{"pixel_sums"};

/// x (n x h x w x k c) -> y (n x h x w x c): the sum of k groups of neighbouring channels; and dy
/// -> dx, each group a copy.
inline Kernel<In, Out> channel_fold{"channel_fold"};
inline Kernel<In, Out> channel_repeat{"channel_repeat"};

/// How a softmax of split attention (Zhang et al. 2020) lies in the channels: x has `groups` x
/// `splits` x (c / groups / splits) of them, y splits x groups x the rest; each sum of exponentials
/// runs over the splits.
struct SplitSoftmax {
  int groups = 1, splits = 2;
};

/// Where sum i of a softmax finds its values: i runs over images, groups and the rest.
struct SplitPlace {
  std::int64_t image, group, rest, groups, splits, width;

  FJORD_HD SplitPlace(std::int64_t i, std::int64_t groups, std::int64_t splits, std::int64_t width)
      : image(i / width / groups),
        group(i / width % groups),
        rest(i % width),
        groups(groups),
        splits(splits),
        width(width) {}
  FJORD_HD std::int64_t grouped(std::int64_t k) const {
    return ((image * groups + group) * splits + k) * width + rest;
  }
  FJORD_HD std::int64_t split(std::int64_t k) const {
    return ((image * splits + k) * groups + group) * width + rest;
  }
};
inline Kernel<In, Out, SplitSoftmax> split_softmax_forward{"split_softmax_forward"};
/// y, dy -> dx.
inline Kernel<In, In, Out, SplitSoftmax> split_softmax_backward{"split_softmax_backward"};

}  // namespace fjord
