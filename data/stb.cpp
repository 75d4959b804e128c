// BMP, GIF, PSD and TGA by stb_image, which accepts more than it should: reads past the end,
// and several frames are found here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wtype-limits"
#pragma GCC diagnostic ignored "-Wsign-compare"
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_ONLY_PSD
#define STBI_ONLY_TGA
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "data/image_decoders.h"
#include "kernels/error.h"

namespace fjord {
namespace {

/// What stb_image asked for, and whether the file had it.
struct StbStream {
  ByteCursor cursor;
  std::uint64_t size = 0;
  bool short_read = false;

  explicit StbStream(ByteSource& source) : cursor(source), size(source.size()) {}
};

/// stb fills its 128-byte buffer ahead of need, so only other sizes and reads at the end tell.
constexpr int stb_buffer = 128;

int on_read(void* user, char* to, int count) {
  auto& stream = *static_cast<StbStream*>(user);
  const int got = static_cast<int>(stream.cursor.read(to, static_cast<std::size_t>(count)));
  if (got == 0 || (got < count && count != stb_buffer)) stream.short_read = true;
  return got;
}

void on_skip(void* user, int count) {
  auto& stream = *static_cast<StbStream*>(user);
  if (count > 0 && static_cast<std::uint64_t>(count) > stream.size - stream.cursor.position()) {
    stream.short_read = true;
  }
  stream.cursor.skip(static_cast<std::uint64_t>(std::max(count, 0)));
}

int on_eof(void* user) {
  auto& stream = *static_cast<StbStream*>(user);
  return stream.cursor.position() >= stream.size ? 1 : 0;
}

constexpr stbi_io_callbacks callbacks{on_read, on_skip, on_eof};

/// A GIF's pictures are counted by walking its blocks; sizes of blocks stand in one byte each.
class GifWalk {
 public:
  explicit GifWalk(ByteSource& source) : cursor_(source) {}

  int frames() {
    cursor_.skip(10);
    skip_colors(byte());
    cursor_.skip(2);
    int found = 0;
    while (found < 2) {
      const int kind = byte();
      if (kind == 0x21) {  // extension: label, then blocks
        cursor_.skip(1);
      } else if (kind == 0x2c) {  // picture: place, flags, palette, code size, blocks
        ++found;
        cursor_.skip(8);
        skip_colors(byte());
        cursor_.skip(1);
      } else {
        break;
      }
      for (int size = byte(); size > 0; size = byte())
        cursor_.skip(static_cast<std::uint64_t>(size));
    }
    return found;
  }

 private:
  int byte() {
    unsigned char value = 0;
    return cursor_.read(&value, 1) == 1 ? value : -1;
  }
  void skip_colors(int flags) {
    if (flags >= 0 && (flags & 0x80) != 0) cursor_.skip(std::uint64_t{3} << ((flags & 7) + 1));
  }

  ByteCursor cursor_;
};

struct StbHeader {
  int width = 0, height = 0, channels = 0;
  bool wide = false;
};

// stb_image changes the colours of a PSD with a fourth channel (it takes that for alpha over
// white), and converts numbers out of their range while doing so.
void check_psd_channels(ByteSource& source) {
  ByteCursor cursor(source);
  unsigned char bytes[2] = {};
  cursor.skip(12);
  if (cursor.read(bytes, 2) != 2) return;
  const int channels = bytes[0] * 256 + bytes[1];
  if (channels <= 3) return;
  refuse(source, "image-encoding",
         fmt::format("it is a PSD of {} channels; 3 can be read", channels),
         "store it as a TIFF or PNG");
}

StbHeader read_header(ByteSource& source, ImageFormat format) {
  if (format == ImageFormat::gif && GifWalk(source).frames() > 1) {
    refuse(source, "image-pages", "it is an animated GIF: more than one picture",
           "store the one picture that is meant as a PNG");
  }
  if (format == ImageFormat::psd) check_psd_channels(source);
  StbHeader header;
  StbStream stream(source), again(source);
  if (stbi_info_from_callbacks(&callbacks, &stream, &header.width, &header.height,
                               &header.channels) == 0) {
    damaged(source, to_string(format),
            stream.short_read ? "the file ends early" : stbi_failure_reason());
  }
  if (format == ImageFormat::psd) header.channels = 3;  // stb adds an opaque fourth
  header.wide = stbi_is_16_bit_from_callbacks(&callbacks, &again) != 0;
  return header;
}

ImageInfo describe(ByteSource& source, ImageFormat format, const StbHeader& header,
                   const ReadOptions& options) {
  ImageInfo info;
  info.width = header.width;
  info.height = header.height;
  info.alpha = header.channels == 2 || header.channels == 4;
  info.bands = header.channels - (info.alpha && !options.keep_alpha ? 1 : 0);
  info.dtype = header.wide ? DType::u16 : DType::u8;
  info.format = format;
  check_size(source, info.width, info.height, header.channels, info.dtype, options);
  return info;
}

}  // namespace

ImageInfo probe_other(ByteSource& source, ImageFormat format, const ReadOptions& options) {
  return describe(source, format, read_header(source, format), options);
}

Image decode_other(ByteSource& source, ImageFormat format, const ReadOptions& options) {
  const StbHeader header = read_header(source, format);
  const ImageInfo info = describe(source, format, header, options);
  StbStream stream(source);
  const int channels = header.channels;
  int width = 0, height = 0, stored = 0;
  void* loaded = header.wide ? static_cast<void*>(stbi_load_16_from_callbacks(
                                   &callbacks, &stream, &width, &height, &stored, channels))
                             : static_cast<void*>(stbi_load_from_callbacks(
                                   &callbacks, &stream, &width, &height, &stored, channels));
  const std::unique_ptr<void, void (*)(void*)> pixels(loaded, stbi_image_free);
  if (stream.short_read) damaged(source, to_string(format), "the file ends early");
  if (!pixels) damaged(source, to_string(format), stbi_failure_reason());
  if (width != info.width || height != info.height) {
    damaged(source, to_string(format), "its size changes while it is read");
  }
  Image image = make_image(height, width, channels, info.dtype);
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  if (channels == 2 || channels == 4) settle_alpha(source, image, options);
  return image;
}

}  // namespace fjord
