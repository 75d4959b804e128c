// TIFF writing: tiles, deflate, and the georeference of another file carried over.
#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "data/image_write.h"
#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace fjord {
namespace {

constexpr std::size_t tile = 256;

/// libtiff goes back to patch offsets, so the file grows in memory and is written once.
struct TiffMemory {
  std::vector<std::byte> bytes;
  std::size_t position = 0;
  std::string problem;
};

TiffMemory& memory_of(thandle_t handle) { return *static_cast<TiffMemory*>(handle); }

tmsize_t on_read(thandle_t handle, void* to, tmsize_t count) {
  TiffMemory& memory = memory_of(handle);
  if (memory.position >= memory.bytes.size()) return 0;
  const std::size_t got =
      std::min(static_cast<std::size_t>(count), memory.bytes.size() - memory.position);
  std::memcpy(to, memory.bytes.data() + memory.position, got);
  memory.position += got;
  return static_cast<tmsize_t>(got);
}

tmsize_t on_write(thandle_t handle, void* from, tmsize_t count) {
  TiffMemory& memory = memory_of(handle);
  const std::size_t end = memory.position + static_cast<std::size_t>(count);
  try {
    if (end > memory.bytes.size()) memory.bytes.resize(end);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  std::memcpy(memory.bytes.data() + memory.position, from, static_cast<std::size_t>(count));
  memory.position = end;
  return count;
}

toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
  TiffMemory& memory = memory_of(handle);
  if (whence == SEEK_CUR) offset += memory.position;
  if (whence == SEEK_END) offset += memory.bytes.size();
  memory.position = static_cast<std::size_t>(offset);
  return offset;
}

int on_close(thandle_t) { return 0; }
toff_t on_size(thandle_t handle) { return memory_of(handle).bytes.size(); }

int on_error(TIFF*, void* user, const char*, const char* format, std::va_list arguments) {
  char text[300];
  std::vsnprintf(text, sizeof text, format, arguments);
  if (auto& problem = static_cast<TiffMemory*>(user)->problem; problem.empty()) problem = text;
  return 1;
}

int on_warning(TIFF*, void*, const char*, const char*, std::va_list) { return 1; }

using Tiff = std::unique_ptr<TIFF, void (*)(TIFF*)>;

Tiff open_memory(TiffMemory& memory, bool big) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &memory);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &memory);
  return {TIFFClientOpenExt("memory", big ? "w8" : "w", &memory, on_read, on_write, on_seek,
                            on_close, on_size, nullptr, nullptr, options.get()),
          TIFFClose};
}

bool set_layout(TIFF* tiff, const Image& image) {
  const bool rgb = image.bands == 3 && size_of(image.dtype) <= 2 && image.dtype != DType::i32;
  const std::uint16_t format = image.dtype == DType::f32   ? SAMPLEFORMAT_IEEEFP
                               : image.dtype == DType::i32 ? SAMPLEFORMAT_INT
                                                           : SAMPLEFORMAT_UINT;
  bool ok =
      TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, image.width) == 1 &&
      TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, image.height) == 1 &&
      TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, image.bands) == 1 &&
      TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8 * size_of(image.dtype)) == 1 &&
      TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, format) == 1 &&
      TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, rgb ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK) ==
          1 &&
      TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == 1 &&
      TIFFSetField(tiff, TIFFTAG_TILEWIDTH, tile) == 1 &&
      TIFFSetField(tiff, TIFFTAG_TILELENGTH, tile) == 1 &&
      TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE) == 1 &&
      TIFFSetField(tiff, TIFFTAG_PREDICTOR,
                   image.dtype == DType::f32 ? PREDICTOR_FLOATINGPOINT : PREDICTOR_HORIZONTAL) == 1;
  const int extra = rgb ? 0 : image.bands - 1;
  if (ok && extra > 0) {
    const std::vector<std::uint16_t> kinds(static_cast<std::size_t>(extra),
                                           EXTRASAMPLE_UNSPECIFIED);
    ok = TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, extra, kinds.data()) == 1;
  }
  return ok;
}

/// Each tag is declared with the type that it had, so that its bytes come out as they were.
bool set_geotags(TIFF* tiff, const GeoTags& geo) {
  static char name[] = "georeference";
  for (const GeoTag& tag : geo.tags) {
    const TIFFFieldInfo field{tag.tag,
                              TIFF_VARIABLE2,
                              TIFF_VARIABLE2,
                              static_cast<TIFFDataType>(tag.type),
                              FIELD_CUSTOM,
                              1,
                              1,
                              name};
    if (TIFFFindField(tiff, tag.tag, TIFF_ANY) == nullptr &&
        TIFFMergeFieldInfo(tiff, &field, 1) != 0) {
      return false;
    }
    if (TIFFSetField(tiff, tag.tag, tag.count, tag.bytes.data()) != 1) return false;
  }
  return true;
}

bool write_tiles(TIFF* tiff, const Image& image) {
  const std::size_t pixel = static_cast<std::size_t>(image.bands) * size_of(image.dtype);
  const std::size_t width = static_cast<std::size_t>(image.width);
  const std::size_t height = static_cast<std::size_t>(image.height);
  std::vector<std::byte> block(tile * tile * pixel);
  std::uint32_t index = 0;
  for (std::size_t y = 0; y < height; y += tile) {
    for (std::size_t x = 0; x < width; x += tile) {
      std::fill(block.begin(), block.end(), std::byte{0});
      const std::size_t h = std::min(tile, height - y), w = std::min(tile, width - x);
      for (std::size_t i = 0; i < h; ++i) {
        std::memcpy(block.data() + i * tile * pixel,
                    image.pixels.data() + ((y + i) * width + x) * pixel, w * pixel);
      }
      const auto size = static_cast<tmsize_t>(block.size());
      if (TIFFWriteEncodedTile(tiff, index++, block.data(), size) != size) return false;
    }
  }
  return true;
}

}  // namespace

void write_tiff(const std::filesystem::path& path, const Image& image, const GeoTags* geo) {
  check(image.height > 0 && image.width > 0 && image.bands > 0 && image.bands < 65536, "write_tiff",
        "takes no image of {}x{}x{}", image.width, image.height, image.bands);
  TiffMemory memory;
  constexpr std::size_t classic = std::size_t{3} << 30;  // 32-bit offsets, with room for the rest
  Tiff tiff = open_memory(memory, image.pixels.size() > classic);
  const bool written = tiff != nullptr && set_layout(tiff.get(), image) &&
                       (geo == nullptr || set_geotags(tiff.get(), *geo)) &&
                       write_tiles(tiff.get(), image) && TIFFFlush(tiff.get()) == 1;
  tiff.reset();
  if (!written || !memory.problem.empty()) {
    throw Error(ExitCode::io, "write", printable(path.string()),
                "encoding the TIFF failed: " + printable(memory.problem), "write it as a PNG");
  }
  AtomicFile file(path);
  file.write(std::span<const std::byte>(memory.bytes));
  file.commit();
}

}  // namespace fjord
