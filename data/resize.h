// Bringing decoded images and labels to the network's size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/image.h"

namespace fjord {

/// nearest: source index floor(i * in / out) in integers. linear: two taps along each axis around
/// half-pixel centres (OpenCV's INTER_LINEAR). area: mean over the pixel's footprint, linear along
/// an axis that grows (OpenCV's INTER_AREA where both shrink).
enum class Resampling : std::uint8_t { nearest, linear, area };

/// How an image becomes the network's input: resized to height x width (0: kept as it is), or kept
/// and cropped to crop_height x crop_width (0: no crop).
struct Framing {
  std::int64_t height = 0, width = 0;
  Resampling resampling = Resampling::nearest;
  std::int64_t crop_height = 0, crop_width = 0;

  bool resizes() const { return height > 0; }
  bool crops() const { return crop_height > 0; }
};

/// Rounds to nearest for integer types.
Image resize_image(const Image& image, std::int64_t height, std::int64_t width, Resampling method);

/// Always nearest.
std::vector<std::uint8_t> resize_label(std::span<const std::uint8_t> label,
                                       std::int64_t from_height, std::int64_t from_width,
                                       std::int64_t height, std::int64_t width);

/// Extends to at least height x width by reflection without repeating the edge (again and again
/// where the image is smaller than half); a 1-pixel axis repeats. Extra rows go below and right.
Image pad_image(const Image& image, std::int64_t height, std::int64_t width);
std::vector<std::uint8_t> pad_label(std::span<const std::uint8_t> label, std::int64_t from_height,
                                    std::int64_t from_width, std::int64_t height,
                                    std::int64_t width);

}  // namespace fjord
