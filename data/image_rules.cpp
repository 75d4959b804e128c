// Rules that hold for every format: the budget, and what alpha may mean.
#include <cstring>

#include "data/image_decoders.h"
#include "kernels/error.h"

namespace fjord {

void check_size(const ByteSource& source, std::int64_t width, std::int64_t height,
                std::int64_t bands, DType dtype, const ReadOptions& options) {
  if (width <= 0 || height <= 0 || bands <= 0) {
    refuse(source, "image-damaged", fmt::format("its size is {}x{}x{}", width, height, bands),
           "restore the file from its source, or take it out of the data set");
  }
  const std::string size =
      fmt::format("{}x{} pixels of {} band{}", width, height, bands, bands == 1 ? "" : "s");
  if (height > options.max_pixels / width) {
    refuse(source, "image-too-large",
           fmt::format("it has {}, more than {} million", size, options.max_pixels / 1'000'000),
           "cut it into tiles (gdal_retile.py -ps 4096 4096 -targetDir TILES FILE)");
  }
  const std::int64_t sample = static_cast<std::int64_t>(size_of(dtype));
  if (bands > options.max_bytes / sample / (width * height)) {
    refuse(source, "image-too-large",
           fmt::format("it has {}, more than {} MiB in memory", size, options.max_bytes >> 20),
           "cut it into tiles (gdal_retile.py -ps 4096 4096 -targetDir TILES FILE)");
  }
}

namespace {

template <class T>
bool opaque(const Image& image, T full) {
  const auto values = image.as<T>();
  const std::size_t bands = static_cast<std::size_t>(image.bands);
  for (std::size_t i = bands - 1; i < values.size(); i += bands) {
    if (values[i] != full) return false;
  }
  return true;
}

/// Removes the last band in place.
void drop_last_band(Image& image) {
  const std::size_t sample = size_of(image.dtype), bands = static_cast<std::size_t>(image.bands);
  const std::size_t from = bands * sample, to = from - sample;
  const std::size_t pixels = image.pixels.size() / from;
  for (std::size_t i = 1; i < pixels; ++i) {
    std::memmove(image.pixels.data() + i * to, image.pixels.data() + i * from, to);
  }
  image.pixels.resize(pixels * to);
  --image.bands;
}

}  // namespace

void settle_alpha(const ByteSource& source, Image& image, const ReadOptions& options) {
  if (options.keep_alpha) return;
  const bool wide = image.dtype == DType::u16;
  if (wide ? opaque<std::uint16_t>(image, 65535) : opaque<std::uint8_t>(image, 255)) {
    drop_last_band(image);
    image.notes.push_back(fmt::format("alpha {} dropped", wide ? 65535 : 255));
    return;
  }
  refuse(source, "image-alpha",
         "it has an alpha channel that is not opaque everywhere, and what lies under it is unknown",
         options.purpose == Purpose::label
             ? "store the label without alpha (one band, or RGB colours)"
             : "store it without alpha, or as a TIFF, whose bands are all data");
}

}  // namespace fjord
