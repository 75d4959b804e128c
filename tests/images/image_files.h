// Image files made by the libraries themselves, in every encoding that a test asks for.
#pragma once

#include <tiffio.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/images/scratch.h"

namespace fjord::test {

struct PngSpec {
  int width = 7, height = 5, depth = 8;
  int color = 0;  // PNG's colour type: 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA
  bool interlaced = false;
  std::vector<std::array<std::uint8_t, 3>> palette = {};
  std::vector<std::uint8_t> palette_alpha = {};
  int transparent_gray = -1;

  int bands() const { return color == 2 ? 3 : color == 4 ? 2 : color == 6 ? 4 : 1; }
};

/// `samples` are height x width x bands values, packed to the depth here.
Bytes make_png(const PngSpec& spec, const std::vector<int>& samples);
/// A chunk with a right checksum, put before the first IDAT.
Bytes with_chunk(const Bytes& png, const std::string& name, const Bytes& body);

struct JpegSpec {
  int width = 32, height = 24, components = 3, quality = 90;
  bool progressive = false;
  bool two_scans = false;  // progressive: DC, then all of AC at once (gray only)
  bool cmyk = false;       // Adobe's, of 4 components
};

Bytes make_jpeg(const JpegSpec& spec, const std::vector<std::uint8_t>& samples);
/// An EXIF block that holds the orientation, as a TIFF header of either byte order.
Bytes exif_block(int orientation, bool big_endian);
/// The block as APP1 marker after SOI.
Bytes with_exif(const Bytes& jpeg, const Bytes& block);

struct TiffSpec {
  int width = 7, height = 5, bands = 1, bits = 8;
  int format = SAMPLEFORMAT_UINT;
  int compression = COMPRESSION_NONE, predictor = 1;
  int planar = PLANARCONFIG_CONTIG;
  int tile = 0;  // 0: strips of 16 rows
  int photometric = PHOTOMETRIC_MINISBLACK;
  std::string mode = "w";  // wb: big endian, w8: BigTIFF
  int pages = 1;
  std::function<void(TIFF*)> tags = {};
};

/// Written by libtiff; values are converted to the sample type.
Bytes make_tiff(const TiffSpec& spec, const std::vector<double>& samples);

/// A classic little-endian TIFF by hand, for what libtiff would not write: one directory of these
/// fields {tag, type, count, value}, `data` at offset 8.
struct RawField {
  std::uint16_t tag, type;
  std::uint32_t count, value;
};
Bytes raw_tiff(const std::vector<RawField>& fields, const Bytes& data, std::uint32_t next = 0);
/// The fields of an 8x8 image of one strip; later fields replace earlier ones of the same tag.
std::vector<RawField> plain_fields(const std::vector<RawField>& changes);

/// Reproducible values below `limit`.
std::vector<int> pattern(std::size_t count, int limit);
template <class T>
std::vector<T> pattern_of(std::size_t count, int limit) {
  const auto values = pattern(count, limit);
  return {values.begin(), values.end()};
}

}  // namespace fjord::test
