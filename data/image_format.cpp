// What a file really is, found by its content, and what it is when it is no image.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "data/image_decoders.h"

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

}  // namespace

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

namespace {

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

}  // namespace

void note_wrong_extension(const ByteSource& source, Image& image) {
  const std::string extension = lower(std::filesystem::path(source.name()).extension().string());
  const std::string list = std::string(extensions(image.format)) + ".";
  if (extension.size() < 2 || list.find(extension + ".") != std::string::npos) return;
  image.notes.push_back(fmt::format("{} content in a {} file", to_string(image.format), extension));
}

}  // namespace fjord
