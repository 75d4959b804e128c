// The makers: libpng, libjpeg and libtiff used plainly; any failure aborts the test program.
#include "tests/images/image_files.h"

#include <png.h>
#include <stdio.h>  // NOLINT: jpeglib.h needs FILE

#include <jpeglib.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace fjord::test {
namespace {

void need(bool ok) {
  if (!ok) std::abort();
}

void append(Bytes& bytes, const void* from, std::size_t count) {
  const auto* start = static_cast<const std::byte*>(from);
  bytes.insert(bytes.end(), start, start + count);
}

void append_number(Bytes& bytes, std::uint32_t value, int width, bool big_endian) {
  for (int i = 0; i < width; ++i) {
    const int shift = 8 * (big_endian ? width - 1 - i : i);
    bytes.push_back(static_cast<std::byte>(value >> shift & 255));
  }
}

/// Rows of samples, each row starting on a byte, most significant bit first.
std::vector<std::vector<std::uint8_t>> pack(const std::vector<int>& samples, int rows, int depth) {
  const std::size_t row = samples.size() / static_cast<std::size_t>(rows);
  std::vector<std::vector<std::uint8_t>> packed(static_cast<std::size_t>(rows));
  for (std::size_t y = 0; y < packed.size(); ++y) {
    packed[y].resize((row * static_cast<std::size_t>(depth) + 7) / 8);
    for (std::size_t i = 0; i < row; ++i) {
      const int value = samples[y * row + i];
      for (int b = 0; b < depth; ++b) {
        const std::size_t bit = i * static_cast<std::size_t>(depth) + static_cast<std::size_t>(b);
        const int set = value >> (depth - 1 - b) & 1;
        packed[y][bit / 8] = static_cast<std::uint8_t>(packed[y][bit / 8] | set << (7 - bit % 8));
      }
    }
  }
  return packed;
}

}  // namespace

Bytes make_png(const PngSpec& spec, const std::vector<int>& samples) {
  need(samples.size() ==
       static_cast<std::size_t>(spec.width) * static_cast<std::size_t>(spec.height * spec.bands()));
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep from, png_size_t count) {
        append(*static_cast<Bytes*>(png_get_io_ptr(p)), from, count);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(spec.width),
               static_cast<png_uint_32>(spec.height), spec.depth, spec.color,
               spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
  std::vector<png_color> colors;
  for (const auto& c : spec.palette) colors.push_back({c[0], c[1], c[2]});
  if (!colors.empty()) png_set_PLTE(png, info, colors.data(), static_cast<int>(colors.size()));
  if (!spec.palette_alpha.empty()) {
    png_set_tRNS(png, info, spec.palette_alpha.data(), static_cast<int>(spec.palette_alpha.size()),
                 nullptr);
  }
  if (spec.transparent_gray >= 0) {
    png_color_16 key{};
    key.gray = static_cast<png_uint_16>(spec.transparent_gray);
    png_set_tRNS(png, info, nullptr, 1, &key);
  }
  auto rows = pack(samples, spec.height, spec.depth);
  std::vector<png_bytep> pointers;
  for (auto& row : rows) pointers.push_back(row.data());
  png_write_info(png, info);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

Bytes with_chunk(const Bytes& png, const std::string& name, const Bytes& body) {
  const Bytes mark = to_bytes("IDAT");
  const auto idat = std::search(png.begin(), png.end(), mark.begin(), mark.end()) - 4;
  Bytes out(png.begin(), idat);
  append_number(out, static_cast<std::uint32_t>(body.size()), 4, true);
  Bytes checked = to_bytes(name);
  checked.insert(checked.end(), body.begin(), body.end());
  out.insert(out.end(), checked.begin(), checked.end());
  const auto crc =
      crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  append_number(out, static_cast<std::uint32_t>(crc), 4, true);
  out.insert(out.end(), idat, png.end());
  return out;
}

Bytes make_jpeg(const JpegSpec& spec, const std::vector<std::uint8_t>& samples) {
  const int components = spec.cmyk ? 4 : spec.components;
  const std::size_t row = static_cast<std::size_t>(spec.width * components);
  need(samples.size() == row * static_cast<std::size_t>(spec.height));
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = static_cast<JDIMENSION>(spec.width);
  jpeg.image_height = static_cast<JDIMENSION>(spec.height);
  jpeg.input_components = components;
  jpeg.in_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, spec.quality, TRUE);
  if (spec.progressive) jpeg_simple_progression(&jpeg);
  const jpeg_scan_info two[] = {{1, {0}, 0, 0, 0, 0}, {1, {0}, 1, 63, 0, 0}};
  if (spec.two_scans) {
    jpeg.scan_info = two;
    jpeg.num_scans = 2;
  }
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    auto* line = const_cast<JSAMPROW>(samples.data() + jpeg.next_scanline * row);
    jpeg_write_scanlines(&jpeg, &line, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  Bytes bytes;
  append(bytes, memory, size);
  std::free(memory);
  return bytes;
}

Bytes exif_block(int orientation, bool big_endian) {
  Bytes block = to_bytes(big_endian ? "MM" : "II");
  const auto put = [&](std::uint32_t value, int width) {
    append_number(block, value, width, big_endian);
  };
  put(42, 2);
  put(8, 4);  // the directory follows
  put(2, 2);  // of two entries
  put(271, 2), put(2, 2), put(1, 4), put(0, 4);
  put(274, 2), put(3, 2), put(1, 4), put(static_cast<std::uint32_t>(orientation), 2), put(0, 2);
  put(0, 4);
  return block;
}

Bytes with_exif(const Bytes& jpeg, const Bytes& block) {
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  append_number(out, 0xffe1, 2, true);
  append_number(out, static_cast<std::uint32_t>(block.size() + 8), 2, true);
  append(out, "Exif\0\0", 6);
  append(out, block.data(), block.size());
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

namespace {

template <class T>
void put_sample(std::byte* to, double value) {
  const T sample = static_cast<T>(value);
  std::memcpy(to, &sample, sizeof sample);
}

void put_sample(const TiffSpec& spec, std::byte* to, double value) {
  if (spec.format == SAMPLEFORMAT_IEEEFP) {
    return spec.bits == 64 ? put_sample<double>(to, value) : put_sample<float>(to, value);
  }
  const bool is_signed = spec.format == SAMPLEFORMAT_INT;
  if (spec.bits == 8) {
    return is_signed ? put_sample<std::int8_t>(to, value) : put_sample<std::uint8_t>(to, value);
  }
  if (spec.bits == 16) {
    return is_signed ? put_sample<std::int16_t>(to, value) : put_sample<std::uint16_t>(to, value);
  }
  return is_signed ? put_sample<std::int32_t>(to, value) : put_sample<std::uint32_t>(to, value);
}

void write_page(TIFF* tiff, const TiffSpec& spec, const std::vector<double>& samples) {
  need(TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, spec.width) == 1);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, spec.height);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, spec.bands);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, spec.bits);
  TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, spec.format);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, spec.planar);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, spec.photometric);
  need(TIFFSetField(tiff, TIFFTAG_COMPRESSION, spec.compression) == 1);
  if (spec.predictor > 1) TIFFSetField(tiff, TIFFTAG_PREDICTOR, spec.predictor);
  if (spec.tile > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, spec.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, spec.tile);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 16);
  }
  if (spec.tags) spec.tags(tiff);
  const int sample = spec.bits / 8, planes = spec.planar == PLANARCONFIG_SEPARATE ? spec.bands : 1;
  const int in_block = planes == 1 ? spec.bands : 1;
  const int step_y = spec.tile > 0 ? spec.tile : 16,
            step_x = spec.tile > 0 ? spec.tile : spec.width;
  std::uint32_t index = 0;
  for (int plane = 0; plane < planes; ++plane) {
    for (int y = 0; y < spec.height; y += step_y) {
      for (int x = 0; x < spec.width; x += step_x, ++index) {
        const int rows = spec.tile > 0 ? step_y : std::min(step_y, spec.height - y);
        Bytes block(static_cast<std::size_t>(rows * step_x * in_block * sample), std::byte{0xee});
        for (int i = 0; i < std::min(rows, spec.height - y); ++i) {
          for (int j = 0; j < std::min(step_x, spec.width - x); ++j) {
            for (int c = 0; c < in_block; ++c) {
              const int from = ((y + i) * spec.width + x + j) * spec.bands + plane + c;
              put_sample(spec, block.data() + ((i * step_x + j) * in_block + c) * sample,
                         samples[static_cast<std::size_t>(from)]);
            }
          }
        }
        const auto size = static_cast<tmsize_t>(block.size());
        need((spec.tile > 0 ? TIFFWriteEncodedTile(tiff, index, block.data(), size)
                            : TIFFWriteEncodedStrip(tiff, index, block.data(), size)) == size);
      }
    }
  }
}

}  // namespace

Bytes make_tiff(const TiffSpec& spec, const std::vector<double>& samples) {
  const ScratchFolder folder;
  const auto path = folder / "made.tif";
  TIFF* tiff = TIFFOpen(path.c_str(), spec.mode.c_str());
  need(tiff != nullptr);
  for (int page = 0; page < spec.pages; ++page) {
    write_page(tiff, spec, samples);
    if (spec.pages > 1) need(TIFFWriteDirectory(tiff) == 1);
  }
  TIFFClose(tiff);
  return read_bytes(path);
}

Bytes raw_tiff(const std::vector<RawField>& fields, const Bytes& data, std::uint32_t next) {
  Bytes bytes = to_bytes("II*");
  bytes.push_back(std::byte{0});
  append_number(bytes, static_cast<std::uint32_t>(8 + data.size()), 4, false);
  bytes.insert(bytes.end(), data.begin(), data.end());
  append_number(bytes, static_cast<std::uint32_t>(fields.size()), 2, false);
  for (const RawField& field : fields) {
    append_number(bytes, field.tag, 2, false);
    append_number(bytes, field.type, 2, false);
    append_number(bytes, field.count, 4, false);
    append_number(bytes, field.value, 4, false);
  }
  append_number(bytes, next, 4, false);
  return bytes;
}

std::vector<RawField> plain_fields(const std::vector<RawField>& changes) {
  std::vector<RawField> fields{{256, 3, 1, 8}, {257, 3, 1, 8}, {258, 3, 1, 8},
                               {259, 3, 1, 1}, {262, 3, 1, 1}, {273, 4, 1, 8},
                               {277, 3, 1, 1}, {278, 3, 1, 8}, {279, 4, 1, 64}};
  for (const RawField& change : changes) {
    auto same = std::find_if(fields.begin(), fields.end(),
                             [&](const RawField& field) { return field.tag == change.tag; });
    if (same != fields.end()) {
      *same = change;
    } else {
      fields.push_back(change);
    }
  }
  std::sort(fields.begin(), fields.end(),
            [](const RawField& a, const RawField& b) { return a.tag < b.tag; });
  return fields;
}

std::vector<int> pattern(std::size_t count, int limit) {
  std::vector<int> values(count);
  std::uint32_t state = 12345;
  for (int& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<int>((state >> 8) % static_cast<std::uint32_t>(limit));
  }
  return values;
}

}  // namespace fjord::test
