// One sample from its files to what the augmentation kernel reads, and loops over many of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/image.h"
#include "data/label_map.h"
#include "data/resize.h"

namespace fjord {

/// An image and its classes at one size.
struct DecodedSample {
  Image image;
  std::vector<std::uint8_t> classes;  // height x width of the image
  bool rgb = false;                   // red, green, blue; not grey repeated

  std::size_t bytes() const { return image.pixels.size() + classes.size(); }
};

/// Throws Error{dataset} when the label's size is not the image's; says so where it is transposed.
void check_label_size(const Sample& sample, int height, int width, int label_height,
                      int label_width);

/// Reads, checks and frames a sample: resized, or padded up to a crop. Grey becomes `channels`
/// bands where that is 3; any other mismatch throws Error{dataset}. Pixels without data become 0
/// and are ignored. Conversions are appended to `notes`.
DecodedSample read_sample(const Sample& sample, const LabelMap& labels, const Framing& framing,
                          int channels, std::vector<std::string>& notes);

/// Calls body(i) for 0..count-1 from `threads` threads, in no order; rethrows the exception of the
/// lowest i.
void for_each_sample(std::int64_t count, int threads,
                     const std::function<void(std::int64_t)>& body);

}  // namespace fjord
