// Bad image files by their row in docs/bad-input.md: each is refused with this very message.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "data/image.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"
#include "tests/images/messages.h"

namespace fjord {
namespace {

using namespace test;
namespace fs = std::filesystem;

struct BadFile {
  int row;
  std::string name;
  Bytes bytes;
  std::string message;  // after "cannot read PATH - "
  std::string slug = "image-damaged";
  ReadOptions options = {};
};

const std::string replace = " - replace it by a PNG, JPEG or TIFF";
const std::string deflate =
    ", which is not read - rewrite it: gdal_translate -co COMPRESS=DEFLATE IN OUT.tif";
const std::string single = " - store the one picture that is meant as a PNG";
const ReadOptions label{.purpose = Purpose::label};

Bytes joined(Bytes bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

Bytes png() { return make_png({}, pattern(35, 256)); }
Bytes jpeg() { return make_jpeg({}, pattern_of<std::uint8_t>(32 * 24 * 3, 256)); }
/// A JPEG whose frame header names 12 bits.
Bytes twelve_bits() {
  Bytes file = jpeg();
  const Bytes frame{std::byte{0xff}, std::byte{0xc0}};
  *(std::search(file.begin(), file.end(), frame.begin(), frame.end()) + 4) = std::byte{12};
  return file;
}

Bytes tiff(const TiffSpec& spec = {}) {
  return make_tiff(spec, pattern_of<double>(
                             static_cast<std::size_t>(spec.width * spec.height * spec.bands), 200));
}
Bytes encoded(const std::vector<RawField>& changes) {
  return raw_tiff(plain_fields(changes), Bytes(512));
}

/// A small PNG whose header claims another size, with a right checksum.
Bytes png_of_size(std::uint32_t width, std::uint32_t height) {
  Bytes file = png();
  const auto put = [&](std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i)
      file[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
  };
  put(16, width);
  put(20, height);
  put(29, static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(&file[12]), 17)));
  return file;
}

/// Two strips, of which the second says that it has 20 bytes of its 32.
Bytes lying_strip() {
  Bytes data(64);
  for (const int value : {8, 40, 32, 20}) {
    for (int shift = 0; shift < 32; shift += 8)
      data.push_back(static_cast<std::byte>(value >> shift));
  }
  return raw_tiff(plain_fields({{273, 4, 2, 72}, {278, 3, 1, 4}, {279, 4, 2, 80}}), data);
}

std::vector<BadFile> wrong_content() {
  return {
      {29, "empty.png", {}, "the file is empty (0 bytes)" + restore, "image-empty"},
      {29, "page.png", to_bytes("<!DOCTYPE html><p>"), "it is an HTML page" + replace,
       "image-format"},
      {29, "page2.jpg", to_bytes("\n <HTML>"), "it is an HTML page" + replace, "image-format"},
      {29, "pointer.tif", to_bytes("version https://git-lfs.github.com/spec/v1\n"),
       "it is a Git LFS pointer, not the file itself" + replace, "image-format"},
      {29, "photo.jpg", to_bytes(std::string("RIFF\x10\0\0\0WEBPVP8 ", 16)),
       "it is a WebP picture" + replace, "image-format"},
      {29, "photo.heic",
       to_bytes(std::string("\0\0\0\x18"
                            "ftypheic",
                            12)),
       "it is a HEIC picture" + replace, "image-format"},
      {29, "noise.png", to_bytes("no image at all"),
       "its content is of no known image format" + replace, "image-format"},
  };
}

std::vector<BadFile> damage() {
  const std::string jpegtran =
      " - keep the picture alone: jpegtran -copy all -outfile OUT.jpg IN.jpg";
  return {
      {30, "cut.png", cut(png(), 13), "the PNG is damaged: the file ends early" + restore},
      {30, "junk.png", joined(png(), to_bytes("junk")),
       "the PNG is damaged: 4 bytes follow its end" + restore},
      {30, "flip.png", flipped(png(), png().size() - 14),
       "the PNG is damaged: IDAT: CRC error" + restore},
      {30, "cut.tif", cut(tiff(), 1),
       "the TIFF is damaged: directory 1 runs past the end of the file" + restore},
      {30, "cut.jpg", cut(jpeg(), 300), "the JPEG is damaged: the file ends early" + restore},
      {30, "junk.jpg", joined(jpeg(), to_bytes("junk")),
       "4 bytes follow the end of the JPEG" + jpegtran},
      {31, "warned.jpg", joined(cut(jpeg(), 300), to_bytes("\xff\xd9")),
       "the JPEG is damaged: Corrupt JPEG data: premature end of data segment" + restore},
      {46, "short.tif", lying_strip(),
       "the TIFF is damaged: strip 1 holds 20 bytes of 32" + restore},
      {46, "beyond.tif", encoded({{273, 4, 1, 4000000000u}}),
       "the TIFF is damaged: Read error at scanline 4294967295; got 0 bytes, expected 64" +
           restore},
      {46, "huge-tag.tif", encoded({{33550, 12, 0x20000000, 8}}),
       "the TIFF is damaged: Sanity check on size of \"Tag 33550\" value failed; tag ignored" +
           restore},
      {46, "loop.tif", raw_tiff(plain_fields({}), Bytes(64), 72),
       "the TIFF is damaged: directory 2 cannot be read" + restore},
  };
}

std::vector<BadFile> unsupported() {
  return {
      {37, "twelve.jpg", twelve_bits(),
       "it is a JPEG of a rare kind: Unsupported JPEG data precision 12 - store it as a PNG or "
       "TIFF",
       "image-encoding"},
      {37, "print.jpg", make_jpeg({.cmyk = true}, pattern_of<std::uint8_t>(32 * 24 * 4, 256)),
       "it is a CMYK JPEG, whose colours depend on a print profile - convert it to RGB: magick "
       "IN.jpg -colorspace sRGB OUT.png",
       "image-cmyk"},
      {38, "alpha.png", make_png({.width = 2, .height = 1, .color = 6}, pattern(8, 255)),
       "it has an alpha channel that is not opaque everywhere, and what lies under it is unknown - "
       "store it without alpha, or as a TIFF, whose bands are all data",
       "image-alpha"},
      {43, "lerc.tif", encoded({{259, 3, 1, 34887}}), "its compression is LERC" + deflate,
       "image-encoding"},
      {43, "jp2.tif", encoded({{259, 3, 1, 34712}}), "its compression is JPEG 2000" + deflate,
       "image-encoding"},
      {43, "webp.tif", encoded({{259, 3, 1, 50001}}), "its compression is WebP" + deflate,
       "image-encoding"},
      {44, "old-jpeg.tif", encoded({{259, 3, 1, 6}}),
       "its compression is the old JPEG of TIFF 6.0 (scheme 6)" + deflate, "image-encoding"},
      {44, "bilevel.tif", encoded({{258, 3, 1, 1}}),
       "its samples have 1 bit (bilevel) - widen them: gdal_translate -ot Byte -co NBITS=8 IN "
       "OUT.tif",
       "image-encoding"},
      {44, "nibbles.tif", encoded({{258, 3, 1, 4}}),
       "its samples have 4 bits - widen them: gdal_translate -ot Byte -co NBITS=8 IN OUT.tif",
       "image-encoding"},
      {44, "twelve.tif", encoded({{258, 3, 1, 12}, {279, 4, 1, 96}}),
       "its samples have 12 bits - widen them: gdal_translate -ot UInt16 -co NBITS=16 IN OUT.tif",
       "image-encoding"},
      {44, "complex.tif", encoded({{258, 3, 1, 64}, {279, 4, 1, 512}, {339, 3, 1, 6}}),
       "its samples are complex numbers - take their amplitude: gdal_calc.py -A IN "
       "--calc='abs(A)' --type=Float32 --outfile=OUT",
       "image-encoding"},
      {44, "int64.tif", encoded({{258, 3, 1, 64}, {279, 4, 1, 512}}),
       "its samples are 64-bit integers - convert them: gdal_translate -ot Int32 IN OUT.tif",
       "image-encoding"},
      {44, "float64.tif", encoded({{258, 3, 1, 64}, {279, 4, 1, 512}, {339, 3, 1, 3}}),
       "its samples are 64-bit floats - convert them: gdal_translate -ot Float32 IN OUT.tif",
       "image-encoding"},
      {44, "int32.tif", encoded({{258, 3, 1, 32}, {279, 4, 1, 256}}),
       "its samples are 32-bit integers - convert them: gdal_translate -ot Float32 IN OUT.tif",
       "image-encoding"},
      {45, "pages.tif", tiff({.pages = 2}),
       "it is a TIFF of several pages - write the page that is meant to a file of its own: "
       "gdal_translate GTIFF_DIR:1:IN.tif OUT.tif",
       "image-pages"},
      {45, "moving.png", with_chunk(png(), "acTL", Bytes(8)),
       "it is an animated PNG: more than one picture" + single + " of its own", "image-pages"},
      {45, "moving.gif",
       to_bytes(
           std::string("GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0,\0"
                       "\0\0\0\1\0\1\0\0\2\2D\1\0;",
                       49)),
       "it is an animated GIF: more than one picture" + single, "image-pages"},
      {53, "label.jpg", jpeg(),
       "it is a JPEG, which changes label values at every edge - store labels as PNG or TIFF, or, "
       "for a binary label, give --label-threshold 127",
       "label-lossy", label},
  };
}

std::vector<BadFile> values() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  TiffSpec spec{.width = 3, .height = 2, .bits = 32, .format = SAMPLEFORMAT_IEEEFP};
  const std::string declare =
      ", and the file declares no such nodata value - declare it (gdal_edit.py -a_nodata nan FILE) "
      "or fill it (gdal_fillnodata.py)";
  const Bytes infinite = make_tiff(spec, {0, 1, -std::numeric_limits<float>::infinity(), 3, 4, 5});
  const std::string tiles =
      " - cut it into tiles (gdal_retile.py -ps 4096 4096 -targetDir TILES FILE)";
  return {
      {34, "hole.tif", make_tiff(spec, {0, 1, 2, 3, nan, 5}),
       "pixel (1, 1) of band 1 is nan" + declare, "image-nan"},
      {34, "infinite.tif", infinite, "pixel (2, 0) of band 1 is -inf" + declare, "image-nan"},
      {42, "bomb.png", png_of_size(30000, 30000),
       "it has 30000x30000 pixels of 1 band, more than 256 million" + tiles, "image-too-large"},
      {42, "many-bands.tif",
       encoded({{256, 4, 1, 10000},
                {257, 4, 1, 10000},
                {259, 3, 1, 8},
                {277, 3, 1, 500},
                {278, 4, 1, 10000}}),
       "it has 10000x10000 pixels of 500 bands, more than 4096 MiB in memory" + tiles,
       "image-too-large"},
  };
}

void check_refused(const ScratchFolder& folder, const BadFile& bad) {
  CAPTURE(bad.row);
  CAPTURE(bad.name);
  const fs::path path = folder / bad.name;
  write_bytes(path, bad.bytes);
  const std::string line =
      "error[E-" + bad.slug + "] cannot read " + path.string() + " - " + bad.message;
  CHECK(message_of([&] { read_image(path, bad.options); }) == line);
  CHECK(message_of([&] { decode_image(bad.bytes, path.string(), bad.options); }) == line);
  CHECK(read_bytes(path) == bad.bytes);
}

}  // namespace

TEST_CASE("rows 29 to 46: bad files and their messages") {
  const ScratchFolder folder;
  int tried = 0;
  for (const auto& table : {wrong_content(), damage(), unsupported(), values()}) {
    for (const BadFile& bad : table) {
      check_refused(folder, bad);
      ++tried;
    }
  }
  fmt::print("bad image files: {} tried\n", tried);
}

}  // namespace fjord
