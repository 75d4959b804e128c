// TIFF in every encoding that is read, written here by libtiff, decodes to the values written.
#include <doctest/doctest.h>

#include <zlib.h>

#include <cmath>
#include <limits>

#include "data/image.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"

namespace fjord {
namespace {

using namespace test;

const ReadOptions label{.purpose = Purpose::label};

std::size_t count_of(const TiffSpec& spec) {
  return static_cast<std::size_t>(spec.width * spec.height * spec.bands);
}

bool holds(const Image& image, const std::vector<double>& samples) {
  if (static_cast<std::size_t>(image.count()) != samples.size()) return false;
  std::size_t i = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < image.bands; ++c) {
        if (image.value(y, x, c) != samples[i++]) return false;
      }
    }
  }
  return true;
}

std::vector<double> samples_for(const TiffSpec& spec) {
  auto samples = pattern_of<double>(count_of(spec), spec.bits == 8 ? 256 : 65536);
  if (spec.format == SAMPLEFORMAT_IEEEFP) {
    for (double& sample : samples) sample = static_cast<float>((sample - 30000) / 7);
  }
  return samples;
}

void check_spec(const TiffSpec& spec) {
  CAPTURE(spec.bits);
  CAPTURE(spec.bands);
  CAPTURE(spec.compression);
  CAPTURE(spec.predictor);
  CAPTURE(spec.planar);
  CAPTURE(spec.tile);
  CAPTURE(spec.mode);
  const auto samples = samples_for(spec);
  const Bytes file = make_tiff(spec, samples);
  const Image image = decode_image(file, "a.tif");
  CHECK(image.width == spec.width);
  CHECK(image.height == spec.height);
  CHECK(image.bands == spec.bands);
  CHECK(image.dtype == (spec.bits == 8 ? DType::u8 : spec.bits == 16 ? DType::u16 : DType::f32));
  CHECK(holds(image, samples));
  const ImageInfo info = probe_bytes(file, "a.tif");
  CHECK(info.bands == spec.bands);
  CHECK(info.dtype == image.dtype);
}

}  // namespace

TEST_CASE("TIFF row 43: types x compressions x predictors x planes x tiles x byte orders") {
  int files = 0;
  for (const int bits : {8, 16, 32}) {
    for (const int compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_PACKBITS,
                                  COMPRESSION_ADOBE_DEFLATE, COMPRESSION_ZSTD, COMPRESSION_LZMA}) {
      const bool predicts = compression != COMPRESSION_NONE && compression != COMPRESSION_PACKBITS;
      if (TIFFIsCODECConfigured(static_cast<std::uint16_t>(compression)) == 0) {
        fmt::print(stderr, "skipped: this libtiff lacks compression {}\n", compression);
        continue;
      }
      for (const int predictor : {1, bits == 32 ? 3 : 2}) {
        if (predictor > 1 && !predicts) continue;
        const bool writer_swaps_twice = predictor == 3;  // libtiff's, in big-endian files
        for (const int planar : {PLANARCONFIG_CONTIG, PLANARCONFIG_SEPARATE}) {
          for (const int tile : {0, 32}) {
            for (const char* mode : {"wl", writer_swaps_twice ? "wl" : "wb", "w8"}) {
              for (const int bands : {1, 5}) {
                check_spec({.width = 70,
                            .height = 37,
                            .bands = bands,
                            .bits = bits,
                            .format = bits == 32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT,
                            .compression = compression,
                            .predictor = predictor,
                            .planar = planar,
                            .tile = tile,
                            .mode = mode});
                ++files;
              }
            }
          }
        }
      }
    }
  }
  CHECK(files > 500);
}

TEST_CASE("TIFF: the floating point predictor stores the same bytes in either byte order") {
  // 1, 2, -3.5, 1000: the top bytes of all, then the next, as differences (Adobe's note 3).
  const std::vector<unsigned char> stored{0x3f, 0x01, 0x80, 0x84, 0x3c, 0x80, 0x60, 0x1a,
                                          0x86, 0,    0,    0,    0,    0,    0,    0};
  Bytes packed(100);
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, stored.data(), stored.size());
  for (const char* mode : {"wl", "wb"}) {
    const ScratchFolder folder;
    const auto path = folder / "a.tif";
    TIFF* tiff = TIFFOpen(path.c_str(), mode);
    const std::vector<std::pair<int, int>> tags{
        {TIFFTAG_IMAGEWIDTH, 4},      {TIFFTAG_IMAGELENGTH, 1},  {TIFFTAG_BITSPERSAMPLE, 32},
        {TIFFTAG_SAMPLEFORMAT, 3},    {TIFFTAG_PHOTOMETRIC, 1},  {TIFFTAG_COMPRESSION, 8},
        {TIFFTAG_SAMPLESPERPIXEL, 1}, {TIFFTAG_ROWSPERSTRIP, 1}, {TIFFTAG_PREDICTOR, 3}};
    for (const auto& [tag, value] : tags) {
      TIFFSetField(tiff, static_cast<std::uint32_t>(tag), value);
    }
    TIFFWriteRawStrip(tiff, 0, packed.data(), static_cast<tmsize_t>(size));
    TIFFClose(tiff);
    CHECK(holds(read_image(path), {1, 2, -3.5, 1000}));
  }
}

TEST_CASE("TIFF: bands are data, whatever ExtraSamples calls them") {
  for (const std::uint16_t kind : {EXTRASAMPLE_ASSOCALPHA, EXTRASAMPLE_UNASSALPHA}) {
    TiffSpec spec{.bands = 4, .photometric = PHOTOMETRIC_RGB};
    spec.tags = [&](TIFF* tiff) { TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &kind); };
    const auto samples = samples_for(spec);
    const Image image = decode_image(make_tiff(spec, samples), "a.tif");
    CHECK(holds(image, samples));
    CHECK(image.notes.empty());
  }
}

TEST_CASE("TIFF: white-is-zero is inverted in images and raw in labels") {
  const TiffSpec spec{.photometric = PHOTOMETRIC_MINISWHITE};
  auto samples = samples_for(spec);
  const Bytes file = make_tiff(spec, samples);
  CHECK(holds(decode_image(file, "a.tif", label), samples));
  for (double& sample : samples) sample = 255 - sample;
  const Image image = decode_image(file, "a.tif");
  CHECK(holds(image, samples));
  CHECK(image.notes == std::vector<std::string>{"white-is-zero inverted"});
}

TEST_CASE("TIFF: a palette becomes RGB in images and stays indices in labels") {
  std::vector<std::uint16_t> red(256), green(256), blue(256, 0x0700);
  for (std::size_t i = 0; i < 256; ++i) {
    red[i] = static_cast<std::uint16_t>(i << 8);
    green[i] = static_cast<std::uint16_t>((255 - i) << 8);
  }
  TiffSpec spec{.photometric = PHOTOMETRIC_PALETTE};
  spec.tags = [&](TIFF* tiff) {
    TIFFSetField(tiff, TIFFTAG_COLORMAP, red.data(), green.data(), blue.data());
  };
  const auto samples = samples_for(spec);
  const Bytes file = make_tiff(spec, samples);
  CHECK(holds(decode_image(file, "a.tif", label), samples));
  std::vector<double> colors;
  for (const double i : samples) colors.insert(colors.end(), {i, 255 - i, 7});
  CHECK(holds(decode_image(file, "a.tif"), colors));
}

TEST_CASE("TIFF row 34: int16 becomes float in images; labels of any integer type are integers") {
  TiffSpec spec{.width = 2, .height = 1, .bits = 16, .format = SAMPLEFORMAT_INT};
  const std::vector<double> samples{-32768, 77};
  const Image image = decode_image(make_tiff(spec, samples), "a.tif");
  CHECK(image.dtype == DType::f32);
  CHECK(holds(image, samples));
  CHECK(image.notes == std::vector<std::string>{"int16 read as float"});
  for (const int bits : {8, 16, 32}) {
    spec.bits = bits;
    const Image labels = decode_image(make_tiff(spec, {-3, 77}), "a.tif", label);
    CHECK(labels.dtype == DType::i32);
    CHECK(holds(labels, {-3, 77}));
  }
  spec.format = SAMPLEFORMAT_UINT;
  CHECK(holds(decode_image(make_tiff(spec, {0, 2147483647}), "a.tif", label), {0, 2147483647}));
  CHECK_THROWS_AS(decode_image(make_tiff(spec, {0, 2147483648.0}), "a.tif", label), Error);
  spec.format = SAMPLEFORMAT_IEEEFP;
  CHECK(holds(decode_image(make_tiff(spec, {3, 255}), "a.tif", label), {3, 255}));
  CHECK_THROWS_AS(decode_image(make_tiff(spec, {0, 0.5}), "a.tif", label), Error);
}

TEST_CASE("TIFF row 34: nodata is read; only the declared value may be NaN or infinite") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  TiffSpec spec{.width = 3, .height = 2, .bits = 32, .format = SAMPLEFORMAT_IEEEFP};
  const std::vector<double> samples{0, 1, 2, 3, nan, 5};
  CHECK_THROWS_AS(decode_image(make_tiff(spec, samples), "a.tif"), Error);
  static char name[] = "GDAL_NODATA";
  const auto declare = [&](const char* value) {
    spec.tags = [value](TIFF* tiff) {
      const TIFFFieldInfo field{42113, -1, -1, TIFF_ASCII, FIELD_CUSTOM, 1, 0, name};
      TIFFMergeFieldInfo(tiff, &field, 1);
      TIFFSetField(tiff, 42113, value);
    };
  };
  declare("nan");
  const Image image = decode_image(make_tiff(spec, samples), "a.tif");
  REQUIRE(image.nodata.has_value());
  CHECK(std::isnan(*image.nodata));
  CHECK(std::isnan(image.value(1, 1)));
  declare("-9999");
  CHECK_THROWS_AS(decode_image(make_tiff(spec, samples), "a.tif"), Error);
  CHECK(decode_image(make_tiff(spec, {0, 1, 2, 3, -9999, 5}), "a.tif").nodata == -9999.0);
  CHECK(probe_bytes(make_tiff(spec, samples), "a.tif").nodata == -9999.0);
}

TEST_CASE("TIFF: JPEG compression gives RGB; overviews are no pages") {
  TiffSpec spec{.width = 32,
                .height = 32,
                .bands = 3,
                .compression = COMPRESSION_JPEG,
                .photometric = PHOTOMETRIC_YCBCR};
  spec.tags = [](TIFF* tiff) {
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    TIFFSetField(tiff, TIFFTAG_JPEGQUALITY, 98);
  };
  std::vector<double> flat;
  for (int i = 0; i < 32 * 32; ++i) flat.insert(flat.end(), {200, 100, 50});
  const Image image = decode_image(make_tiff(spec, flat), "a.tif");
  CHECK(image.bands == 3);
  // A flat block loses only its DC rounding and that of the colour transform.
  CHECK(std::abs(image.value(9, 9, 0) - 200) <= 2);
  CHECK(std::abs(image.value(9, 9, 2) - 50) <= 2);
  TiffSpec two{.pages = 2};
  int written = 0;
  two.tags = [&](TIFF* tiff) {
    TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, written++ == 0 ? 0 : FILETYPE_REDUCEDIMAGE);
  };
  CHECK(holds(decode_image(make_tiff(two, samples_for(two)), "a.tif"), samples_for(two)));
}

TEST_CASE("TIFF rows 30 and M6: cuts and flipped bits are errors or change nothing") {
  for (const int compression : {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE}) {
    const TiffSpec spec{.width = 40, .height = 40, .bands = 3, .compression = compression};
    const auto samples = pattern_of<double>(count_of(spec), 40);
    const Bytes file = make_tiff(spec, samples);
    for (std::size_t i = 0; i < 200; ++i) {
      const std::size_t cut = file.size() * i / 200;
      CAPTURE(cut);
      CHECK_THROWS_AS(decode_image(std::span(file).first(cut), "a.tif"), Error);
    }
    if (compression != COMPRESSION_ADOBE_DEFLATE) continue;  // others have no checksum
    for (std::size_t i = 0; i < 200; ++i) {
      Bytes flipped = file;
      flipped[12 + i * 7] ^= std::byte{16};
      bool refused_or_same = false;
      try {
        refused_or_same = holds(decode_image(flipped, "a.tif"), samples);
      } catch (const Error& error) {
        refused_or_same = error.slug == "image-damaged";
      }
      CHECK(refused_or_same);
    }
  }
}

}  // namespace fjord
