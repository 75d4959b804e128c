// From bytes to an image: what the content is, which decoder takes it, and the rules for them all.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "data/image_decoders.h"
#include "data/image_exif.h"
#include "kernels/error.h"

namespace fjord {
namespace {

void check_label_format(const ByteSource& source, ImageFormat format, const ReadOptions& options) {
  if (format != ImageFormat::jpeg || options.purpose != Purpose::label || options.label_threshold) {
    return;
  }
  refuse(source, "label-lossy", "it is a JPEG, which changes label values at every edge",
         "store labels as PNG or TIFF, or, for a binary label, give --label-threshold 127");
}

/// NaN and infinity are no measurements; a file may mark them as missing by GDAL_NODATA.
void check_finite(const ByteSource& source, const Image& image) {
  if (image.dtype != DType::f32) return;
  const auto values = image.as<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float v = values[i];
    if (std::isfinite(v)) continue;
    if (image.nodata && (std::isnan(v) ? std::isnan(*image.nodata) : v == *image.nodata)) continue;
    const std::size_t bands = static_cast<std::size_t>(image.bands), pixel = i / bands;
    const std::size_t width = static_cast<std::size_t>(image.width);
    refuse(
        source, "image-nan",
        fmt::format("pixel ({}, {}) of band {} is {}, and the file declares no such nodata value",
                    pixel % width, pixel / width, i % bands + 1, v),
        "declare it (gdal_edit.py -a_nodata nan FILE) or fill it (gdal_fillnodata.py)");
  }
}

Image decode(ByteSource& source, const ReadOptions& options) {
  const ImageFormat format = find_format(source);
  check_label_format(source, format, options);
  Image image;
  switch (format) {
    case ImageFormat::png:
      image = decode_png(source, options);
      break;
    case ImageFormat::jpeg:
      image = decode_jpeg(source, options);
      break;
    case ImageFormat::tiff:
      image = decode_tiff(source, options);
      break;
    case ImageFormat::pnm:
      image = decode_pnm(source, options);
      break;
    default:
      image = decode_other(source, format, options);
  }
  source.check_device();
  image.format = format;
  check_finite(source, image);
  note_wrong_extension(source, image);
  return image;
}

ImageInfo probe(ByteSource& source, const ReadOptions& options) {
  const ImageFormat format = find_format(source);
  check_label_format(source, format, options);
  ImageInfo info;
  switch (format) {
    case ImageFormat::png:
      info = probe_png(source, options);
      break;
    case ImageFormat::jpeg:
      info = probe_jpeg(source, options);
      break;
    case ImageFormat::tiff:
      info = probe_tiff(source, options);
      break;
    case ImageFormat::pnm:
      info = probe_pnm(source, options);
      break;
    default:
      info = probe_other(source, format, options);
  }
  source.check_device();
  info.format = format;
  if (swaps_sides(info.orientation)) std::swap(info.width, info.height);
  return info;
}

}  // namespace

Image read_image(const std::filesystem::path& path, const ReadOptions& options) {
  ByteSource source(path);
  return decode(source, options);
}

ImageInfo probe_image(const std::filesystem::path& path, const ReadOptions& options) {
  ByteSource source(path);
  return probe(source, options);
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const ReadOptions& options) {
  ByteSource source(bytes, name);
  return decode(source, options);
}

ImageInfo probe_bytes(std::span<const std::byte> bytes, const std::string& name,
                      const ReadOptions& options) {
  ByteSource source(bytes, name);
  return probe(source, options);
}

}  // namespace fjord
