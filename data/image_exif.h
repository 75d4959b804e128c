// EXIF orientation: found in the metadata block, applied to the pixels.
#pragma once

#include <optional>
#include <span>

#include "data/image.h"

namespace fjord {

/// The orientation (1..8) that a TIFF-shaped EXIF block names; 1 when it names none; empty when
/// the block is damaged.
std::optional<int> exif_orientation(std::span<const std::byte> block);

/// Turns the pixels so that the picture stands upright, and notes it. `orientation` is 1..8.
void apply_orientation(Image& image, int orientation);

/// Whether an orientation swaps width and height.
constexpr bool swaps_sides(int orientation) { return orientation >= 5; }

}  // namespace fjord
