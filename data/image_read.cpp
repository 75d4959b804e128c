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

struct Magic {
  std::string_view bytes;
  std::size_t offset;
  std::string_view name;
};

using namespace std::string_view_literals;

/// What people save under an image's name; first match wins.
constexpr std::array strangers{
    Magic{"<!doctype", 0, "an HTML page"},
    Magic{"<html", 0, "an HTML page"},
    Magic{"<svg", 0, "an SVG drawing"},
    Magic{"<?xml", 0, "an XML file"},
    Magic{"{\"", 0, "a JSON file"},
    Magic{"version https://git-lfs", 0, "a Git LFS pointer, not the file itself"},
    Magic{"%pdf", 0, "a PDF file"},
    Magic{"pk\x03\x04", 0, "a ZIP archive"},
    Magic{"\x1f\x8b", 0, "a gzip archive"},
    Magic{"\x93numpy", 0, "a NumPy array"},
    Magic{"\x89hdf", 0, "an HDF5 file"},
    Magic{"webp", 8, "a WebP picture"},
    Magic{"ftypavif", 4, "an AVIF picture"},
    Magic{"ftyphei", 4, "a HEIC picture"},
    Magic{"ftypmif1", 4, "a HEIC picture"},
    Magic{"jp  ", 4, "a JPEG 2000 picture"},
    Magic{"\xff\x4f\xff\x51", 0, "a JPEG 2000 picture"},
    Magic{"jxl ", 4, "a JPEG XL picture"},
    Magic{"\xff\x0a", 0, "a JPEG XL picture"},
    Magic{"v/1\x01", 0, "an OpenEXR picture"},
    Magic{"p1", 0, "a PBM picture"},
    Magic{"p2", 0, "a text PGM picture"},
    Magic{"p3", 0, "a text PPM picture"},
    Magic{"p4", 0, "a PBM picture"},
};

bool starts(std::string_view head, std::string_view bytes, std::size_t offset = 0) {
  return head.size() >= offset + bytes.size() && head.substr(offset, bytes.size()) == bytes;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

[[noreturn]] void refuse_stranger(const ByteSource& source, std::string_view head) {
  std::string text = lower(head);
  const std::size_t first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  for (const Magic& magic : strangers) {
    const bool found = starts(text, magic.bytes, magic.offset) ||
                       (magic.offset == 0 && first != std::string::npos &&
                        starts(std::string_view(text).substr(first), magic.bytes));
    if (!found) continue;
    refuse(source, "image-format", fmt::format("it is {}", magic.name),
           "replace it by a PNG, JPEG or TIFF");
  }
  refuse(source, "image-format", "its content is of no known image format",
         "replace it by a PNG, JPEG or TIFF");
}

/// TGA has no magic number: its 2.0 footer, or the name together with a possible header.
bool is_tga(ByteSource& source, std::string_view head) {
  const auto footer =
      source.size() > 26 ? source.read(source.size() - 18, 16) : std::vector<std::byte>{};
  if (footer.size() == 16 && std::memcmp(footer.data(), "TRUEVISION-XFILE", 16) == 0) return true;
  const std::string name = lower(source.name());
  if (head.size() < 18 || !name.ends_with(".tga")) return false;
  const int type = head[2];
  return static_cast<unsigned char>(head[1]) <= 1 &&
         (type == 1 || type == 2 || type == 3 || type == 9 || type == 10 || type == 11);
}

ImageFormat find_format(ByteSource& source) {
  if (source.size() == 0) {
    refuse(source, "image-empty", "the file is empty (0 bytes)",
           "restore the file from its source, or take it out of the data set");
  }
  const auto bytes = source.read(0, 64);
  source.check_device();
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (starts(head, "\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (starts(head, "\xff\xd8\xff")) return ImageFormat::jpeg;
  for (std::string_view magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (starts(head, magic)) return ImageFormat::tiff;
  }
  if (starts(head, "GIF87a") || starts(head, "GIF89a")) return ImageFormat::gif;
  if (starts(head, "8BPS")) return ImageFormat::psd;
  if (starts(head, "BM") && head.size() > 30) return ImageFormat::bmp;
  if ((starts(head, "P5") || starts(head, "P6")) && head.size() > 3 &&
      " \t\r\n"sv.find(head[2]) != std::string_view::npos) {
    return ImageFormat::pnm;
  }
  if (is_tga(source, head)) return ImageFormat::tga;
  refuse_stranger(source, head);
}

std::string_view extensions(ImageFormat format) {
  switch (format) {
    case ImageFormat::png:
      return ".png";
    case ImageFormat::jpeg:
      return ".jpg.jpeg.jpe.jfif";
    case ImageFormat::tiff:
      return ".tif.tiff.gtiff.gtif.btf.tf8";
    case ImageFormat::pnm:
      return ".pgm.ppm.pnm";
    case ImageFormat::bmp:
      return ".bmp.dib";
    case ImageFormat::gif:
      return ".gif";
    case ImageFormat::psd:
      return ".psd";
    case ImageFormat::tga:
      return ".tga";
  }
  return "";
}

void note_wrong_extension(const ByteSource& source, Image& image) {
  const std::string extension = lower(std::filesystem::path(source.name()).extension().string());
  const std::string list = std::string(extensions(image.format)) + ".";
  if (extension.size() < 2 || list.find(extension + ".") != std::string::npos) return;
  image.notes.push_back(fmt::format("{} content in a {} file", to_string(image.format), extension));
}

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
    default:
      info = probe_other(source, format, options);
  }
  source.check_device();
  info.format = format;
  if (swaps_sides(info.orientation)) std::swap(info.width, info.height);
  return info;
}

}  // namespace

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
