// Pictures of predictions: classes as tints with outlines over the image, errors in colours.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace fjord {

/// What a sheet shows. Classes are h x w bytes, 255 = ignored.
struct OverlaySample {
  Image image;  // as display_image gives it
  std::vector<std::uint8_t> label, prediction;
  std::string title;
};

/// Any bands and type to 8-bit RGB: the first three bands (or the first, grey), each stretched
/// between its 1st and 99th percentile unless it is 8-bit already.
Image display_image(const Image& image);
/// The same for network input (h x w x bands values after normalisation).
Image display_image(std::span<const float> values, int height, int width, int bands);

/// image | label | prediction | errors, with a legend.
Image overlay_sheet(const OverlaySample& sample, const std::vector<std::string>& classes);
/// The image with its prediction, at the image's size.
Image prediction_overlay(const Image& image, std::span<const std::uint8_t> prediction);

}  // namespace fjord
