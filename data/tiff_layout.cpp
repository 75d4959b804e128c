// Which TIFF encodings are read, and one sentence and one remedy for each that is not.
#include "data/tiff_layout.h"

#include <charconv>

#include "data/image_decoders.h"
#include "kernels/error.h"

namespace fjord {
namespace {

constexpr std::string_view to_deflate =
    "rewrite it: gdal_translate -co COMPRESS=DEFLATE IN OUT.tif";

void check_compression(const TiffFile& file, TiffLayout& layout, const ReadOptions& options) {
  constexpr std::uint16_t jpeg2000 = 34712, lerc = 34887, webp = 50001;
  const std::uint16_t scheme = layout.compression;
  std::string why;
  switch (scheme) {
    case COMPRESSION_NONE:
    case COMPRESSION_LZW:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_LZMA:
    case COMPRESSION_ZSTD:
      break;
    case COMPRESSION_JPEG:
      if (options.purpose == Purpose::label && !options.label_threshold) {
        refuse(file.source(), "label-lossy",
               "its compression is JPEG, which changes label values at every edge",
               "store labels as PNG or as a TIFF compressed by deflate");
      }
      break;
    case COMPRESSION_OJPEG:
      why = "its compression is the old JPEG of TIFF 6.0 (scheme 6)";
      break;
    case jpeg2000:
      why = "its compression is JPEG 2000";
      break;
    case lerc:
      why = "its compression is LERC";
      break;
    case webp:
      why = "its compression is WebP";
      break;
    default:
      why = fmt::format("its compression is scheme {}", scheme);
  }
  if (why.empty() && TIFFIsCODECConfigured(scheme) == 0) {
    why = fmt::format("this build of libtiff lacks its compression (scheme {})", scheme);
  }
  if (!why.empty())
    refuse(file.source(), "image-encoding", why + ", which is not read", to_deflate);
}

TiffSample find_sample(const TiffFile& file) {
  const auto bits = file.field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
  const auto format = file.field<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  const ByteSource& source = file.source();
  if (format == SAMPLEFORMAT_COMPLEXINT || format == SAMPLEFORMAT_COMPLEXIEEEFP) {
    refuse(source, "image-encoding", "its samples are complex numbers",
           "take their amplitude: gdal_calc.py -A IN --calc='abs(A)' --type=Float32 --outfile=OUT");
  }
  if (bits == 1) {
    refuse(source, "image-encoding", "its samples have 1 bit (bilevel)",
           "widen them: gdal_translate -ot Byte -co NBITS=8 IN OUT.tif");
  }
  if (bits < 8 || (bits > 8 && bits < 16)) {
    refuse(source, "image-encoding", fmt::format("its samples have {} bits", bits),
           fmt::format("widen them: gdal_translate -ot {0} -co NBITS={1} IN OUT.tif",
                       bits < 8 ? "Byte" : "UInt16", bits < 8 ? 8 : 16));
  }
  if (format == SAMPLEFORMAT_IEEEFP && bits == 32) return TiffSample::f32;
  if (format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID) {
    if (bits == 8) return TiffSample::u8;
    if (bits == 16) return TiffSample::u16;
    if (bits == 32) return TiffSample::u32;
  }
  if (format == SAMPLEFORMAT_INT) {
    if (bits == 8) return TiffSample::i8;
    if (bits == 16) return TiffSample::i16;
    if (bits == 32) return TiffSample::i32;
  }
  const bool real = format == SAMPLEFORMAT_IEEEFP;
  refuse(source, "image-encoding",
         fmt::format("its samples are {}-bit {}", bits, real ? "floats" : "integers"),
         fmt::format("convert them: gdal_translate -ot {} IN OUT.tif", real ? "Float32" : "Int32"));
}

/// Images: u8, u16, f32, and int16 as f32. Labels: u8, u16, and every other integer as i32.
DType choose_dtype(const TiffFile& file, TiffSample sample, Purpose purpose) {
  if (sample == TiffSample::u8) return DType::u8;
  if (sample == TiffSample::u16) return DType::u16;
  if (purpose == Purpose::label) return DType::i32;
  if (sample == TiffSample::f32 || sample == TiffSample::i16) return DType::f32;
  const bool byte = sample == TiffSample::i8;
  refuse(file.source(), "image-encoding",
         byte ? "its samples are signed 8-bit integers" : "its samples are 32-bit integers",
         fmt::format("convert them: gdal_translate -ot {} IN OUT.tif", byte ? "Int16" : "Float32"));
}

void check_photometric(const TiffFile& file, TiffLayout& layout, Purpose purpose) {
  const ByteSource& source = file.source();
  const bool whole = layout.sample == TiffSample::u8 || layout.sample == TiffSample::u16;
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_RGB:
      return;
    case PHOTOMETRIC_MINISWHITE:
      layout.inverted = purpose == Purpose::image;
      if (whole || !layout.inverted) return;
      refuse(source, "image-encoding", "0 stands for white, and its samples are not u8 or u16",
             "rewrite it: gdal_translate -co PHOTOMETRIC=MINISBLACK IN OUT.tif");
    case PHOTOMETRIC_PALETTE:
      layout.palette_to_rgb = purpose == Purpose::image;
      if (layout.sample == TiffSample::u8 && layout.bands == 1) return;
      refuse(source, "image-encoding", "its palette is not one of 8-bit indices",
             "expand it: gdal_translate -expand rgb IN OUT.tif");
    case PHOTOMETRIC_YCBCR:
      if (layout.compression == COMPRESSION_JPEG && layout.bands == 3 && !layout.planar) {
        TIFFSetField(file.handle(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        return;
      }
      refuse(source, "image-encoding", "its colours are YCbCr without JPEG compression",
             "rewrite it: gdal_translate -co PHOTOMETRIC=RGB IN OUT.tif");
    default:
      refuse(source, "image-encoding",
             fmt::format("its colours (photometric {}) are neither gray, RGB nor a palette",
                         layout.photometric),
             "convert it to RGB: magick IN.tif -colorspace sRGB OUT.tif");
  }
}

void read_tiling(const TiffFile& file, TiffLayout& layout) {
  layout.tiled = TIFFIsTiled(file.handle()) != 0;
  if (layout.tiled) {
    layout.tile_width = file.field<std::uint32_t>(TIFFTAG_TILEWIDTH, 0);
    layout.tile_height = file.field<std::uint32_t>(TIFFTAG_TILELENGTH, 0);
  } else {
    layout.tile_width = layout.width;
    layout.tile_height =
        std::min(file.field<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, layout.height), layout.height);
  }
}

}  // namespace

std::size_t TiffLayout::sample_bytes() const {
  switch (sample) {
    case TiffSample::u8:
    case TiffSample::i8:
      return 1;
    case TiffSample::u16:
    case TiffSample::i16:
      return 2;
    default:
      return 4;
  }
}

TiffLayout read_layout(TiffFile& file, const ReadOptions& options) {
  file.check();
  TiffLayout layout;
  layout.width = file.field<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
  layout.height = file.field<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0);
  layout.bands = file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
  layout.compression = file.field<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  layout.planar =
      file.field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
  layout.photometric = file.field<std::uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  layout.orientation = file.field<std::uint16_t>(TIFFTAG_ORIENTATION, 1);
  if (layout.orientation < 1 || layout.orientation > 8) layout.orientation = 1;
  check_compression(file, layout, options);
  layout.sample = find_sample(file);
  layout.dtype = choose_dtype(file, layout.sample, options.purpose);
  check_photometric(file, layout, options.purpose);
  check_size(file.source(), layout.width, layout.height, layout.bands_in_memory(), layout.dtype,
             options);
  read_tiling(file, layout);
  // Edge tiles may be larger than the image, but not without measure.
  check_size(file.source(), layout.tile_width, layout.tile_height, layout.planar ? 1 : layout.bands,
             layout.dtype, options);
  file.check();
  return layout;
}

std::optional<double> read_nodata(const TiffFile& file) {
  constexpr std::uint16_t gdal_nodata = 42113;
  const auto tag = file.raw_tag(gdal_nodata);
  if (!tag || tag->type != TIFF_ASCII) return std::nullopt;
  std::string_view text(reinterpret_cast<const char*>(tag->bytes.data()), tag->bytes.size());
  text = text.substr(0, text.find('\0'));
  while (text.starts_with(' ') || text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.empty()) {
    damaged(file.source(), "TIFF", fmt::format("its nodata value '{}' is no number", text));
  }
  return value;
}

}  // namespace fjord
