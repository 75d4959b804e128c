// EXIF is a small TIFF directory; only tag 274 of its first directory matters here.
#include "data/image_exif.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace fjord {
namespace {

/// Bounds-checked integers of either byte order.
struct Fields {
  std::span<const std::byte> bytes;
  bool big_endian = false;

  std::optional<std::uint32_t> number(std::size_t at, std::size_t width) const {
    if (at > bytes.size() || bytes.size() - at < width) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t from = big_endian ? at + i : at + width - 1 - i;
      value = value << 8 | std::to_integer<std::uint32_t>(bytes[from]);
    }
    return value;
  }
};

constexpr std::uint32_t orientation_tag = 274, short_type = 3;

}  // namespace

std::optional<int> exif_orientation(std::span<const std::byte> block) {
  if (block.size() < 8) return std::nullopt;
  Fields fields{.bytes = block, .big_endian = block[0] == std::byte{'M'}};
  if (block[0] != block[1] || (!fields.big_endian && block[0] != std::byte{'I'}) ||
      fields.number(2, 2) != 42u) {
    return std::nullopt;
  }
  const std::size_t directory = *fields.number(4, 4);
  const auto entries = fields.number(directory, 2);
  if (!entries) return std::nullopt;
  for (std::size_t i = 0; i < *entries; ++i) {
    const std::size_t entry = directory + 2 + i * 12;
    const auto tag = fields.number(entry, 2), type = fields.number(entry + 2, 2);
    const auto value = fields.number(entry + 8, 2);
    if (!tag || !type || !value) return std::nullopt;
    if (*tag != orientation_tag) continue;
    if (*type != short_type || *value < 1 || *value > 8) return std::nullopt;
    return static_cast<int>(*value);
  }
  return 1;
}

void apply_orientation(Image& image, int orientation) {
  if (orientation == 1) return;
  const int h = image.height, w = image.width;
  const bool swap = swaps_sides(orientation);
  Image turned = make_image(swap ? w : h, swap ? h : w, image.bands, image.dtype);
  const std::size_t pixel = static_cast<std::size_t>(image.bands) * size_of(image.dtype);
  const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  std::byte* to = turned.pixels.data();
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x, to += pixel) {
      const int u = swap ? y : x, v = swap ? x : y;
      const int from_x = flip_x ? w - 1 - u : u, from_y = flip_y ? h - 1 - v : v;
      const std::size_t at = static_cast<std::size_t>(from_y) * static_cast<std::size_t>(w) +
                             static_cast<std::size_t>(from_x);
      std::memcpy(to, image.pixels.data() + at * pixel, pixel);
    }
  }
  image.pixels = std::move(turned.pixels);
  image.height = turned.height;
  image.width = turned.width;
  image.orientation = orientation;
  image.notes.push_back(fmt::format("EXIF orientation {} applied", orientation));
}

}  // namespace fjord
