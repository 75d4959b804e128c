// TIFF to image: stored samples become colours, class numbers or measurements.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "data/image_decoders.h"
#include "data/image_exif.h"
#include "data/tiff_blocks.h"
#include "data/tiff_layout.h"
#include "kernels/error.h"

namespace fjord {
namespace {

template <class From, class To>
std::vector<std::byte> convert(const ByteSource& source, const std::vector<std::byte>& samples,
                               std::size_t row) {
  const std::size_t count = samples.size() / sizeof(From);
  std::vector<std::byte> out(count * sizeof(To));
  for (std::size_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, samples.data() + i * sizeof(From), sizeof(From));
    // Every integer below 2^31 survives the round trip; what does not is no class number.
    const double value = static_cast<double>(from);
    if (std::is_same_v<To, std::int32_t> &&
        !(value >= -2147483648.0 && value <= 2147483647.0 && value == std::floor(value))) {
      refuse(source, "label-value",
             fmt::format("the label at ({}, {}) is {}, which is no 32-bit integer", i % row,
                         i / row, value),
             "store class numbers as integers: gdal_translate -ot Byte IN OUT.tif");
    }
    const To to = static_cast<To>(from);
    std::memcpy(out.data() + i * sizeof(To), &to, sizeof(To));
  }
  return out;
}

/// From the stored type to the one in memory.
void widen(const ByteSource& source, const TiffLayout& layout, Image& image) {
  const std::size_t row = std::size_t{layout.width} * layout.bands;
  switch (layout.sample) {
    case TiffSample::u8:
    case TiffSample::u16:
      return;
    case TiffSample::i8:
      image.pixels = convert<std::int8_t, std::int32_t>(source, image.pixels, row);
      return;
    case TiffSample::i16:
      image.pixels = image.dtype == DType::f32
                         ? convert<std::int16_t, float>(source, image.pixels, row)
                         : convert<std::int16_t, std::int32_t>(source, image.pixels, row);
      if (image.dtype == DType::f32) image.notes.push_back("int16 read as float");
      return;
    case TiffSample::i32:
      return;
    case TiffSample::u32:
      image.pixels = convert<std::uint32_t, std::int32_t>(source, image.pixels, row);
      return;
    case TiffSample::f32:
      if (image.dtype == DType::f32) return;
      image.pixels = convert<float, std::int32_t>(source, image.pixels, row);
      image.notes.push_back("float labels read as integers");
  }
}

template <class T>
void invert(Image& image) {
  for (T& value : image.as<T>()) value = static_cast<T>(~value);
}

struct ColorMap {
  const std::uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
};

std::vector<std::uint8_t> read_palette(const TiffFile& file) {
  ColorMap map;
  if (TIFFGetField(file.handle(), TIFFTAG_COLORMAP, &map.red, &map.green, &map.blue) != 1) {
    damaged(file.source(), "TIFF", "its palette is missing");
  }
  std::vector<std::uint8_t> palette;
  for (int i = 0; i < 256; ++i) {
    for (const std::uint16_t* band : {map.red, map.green, map.blue}) {
      palette.push_back(static_cast<std::uint8_t>(band[i] >> 8));
    }
  }
  return palette;
}

void expand_palette(Image& image, const std::vector<std::uint8_t>& palette) {
  Image rgb = make_image(image.height, image.width, 3);
  const auto indices = image.as<std::uint8_t>();
  const auto out = rgb.as<std::uint8_t>();
  for (std::size_t i = 0; i < indices.size(); ++i) {
    std::copy_n(palette.data() + indices[i] * 3, 3, out.data() + i * 3);
  }
  image.pixels = std::move(rgb.pixels);
  image.bands = 3;
  image.notes.push_back("palette converted to RGB");
}

void apply_colors(const TiffFile& file, const TiffLayout& layout, Image& image) {
  if (layout.photometric == PHOTOMETRIC_PALETTE) {
    auto palette = read_palette(file);
    if (layout.palette_to_rgb) {
      expand_palette(image, palette);
    } else {
      image.palette = std::move(palette);
    }
  }
  if (!layout.inverted) return;
  if (image.dtype == DType::u8) invert<std::uint8_t>(image);
  if (image.dtype == DType::u16) invert<std::uint16_t>(image);
  image.notes.push_back("white-is-zero inverted");
}

}  // namespace

ImageInfo probe_tiff(ByteSource& source, const ReadOptions& options) {
  TiffFile file(source);
  const TiffLayout layout = read_layout(file, options);
  ImageInfo info;
  info.width = static_cast<int>(layout.width);
  info.height = static_cast<int>(layout.height);
  info.bands = layout.bands_in_memory();
  info.dtype = layout.dtype;
  info.orientation = layout.orientation;
  info.palette = layout.photometric == PHOTOMETRIC_PALETTE;
  info.nodata = read_nodata(file);
  info.geotiff = has_georeference(file);
  file.check_pages();
  return info;
}

Image decode_tiff(ByteSource& source, const ReadOptions& options) {
  TiffFile file(source);
  file.check_pages();
  const TiffLayout layout = read_layout(file, options);
  if (layout.orientation != 1 && has_georeference(file)) {
    refuse(source, "image-encoding",
           fmt::format("it has a georeference and asks to be turned (orientation {})",
                       layout.orientation),
           "rewrite it: gdal_translate IN OUT.tif");
  }
  Image image;
  image.height = static_cast<int>(layout.height);
  image.width = static_cast<int>(layout.width);
  image.bands = layout.bands;
  image.dtype = layout.dtype;
  image.nodata = read_nodata(file);
  file.start_decoding();
  image.pixels = read_samples(file, layout);
  widen(source, layout, image);
  apply_colors(file, layout, image);
  apply_orientation(image, layout.orientation);
  return image;
}

}  // namespace fjord
