// PNG through libpng's classic interface: every warning and checksum failure is an error.
#include <png.h>

#include <bit>
#include <csetjmp>
#include <cstring>
#include <vector>

#include "data/image_decoders.h"
#include "data/image_exif.h"
#include "kernels/error.h"

namespace fjord {
namespace {

/// libpng's two structs with what its callbacks report. libpng leaves by longjmp, so its calls are
/// made inside run(), from lambdas that own nothing.
struct PngReader {
  explicit PngReader(ByteSource& source);
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  template <class F>
  [[gnu::noinline]] void run(F&& calls) {
    if (!jumped_back(calls)) fail();
  }
  [[noreturn]] void fail() const;

  ByteSource& source;
  ByteCursor cursor;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[200] = "";
  bool ended = false, animated = false, exif_damaged = false;
  int orientation = 1;

 private:
  template <class F>
  [[gnu::noinline]] bool jumped_back(F& calls) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    calls();
    return true;
  }
};

void on_error(png_structp png, png_const_charp text) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, text, sizeof reader->message - 1);
  png_longjmp(png, 1);
}

void on_read(png_structp png, png_bytep to, png_size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (reader->cursor.read(to, count) == count) return;
  reader->ended = true;
  png_error(png, "the file ends early");
}

/// Called for chunks that libpng is told to pass over; all are dropped.
int on_chunk(png_structp png, png_unknown_chunkp chunk) {
  auto* reader = static_cast<PngReader*>(png_get_user_chunk_ptr(png));
  if (std::memcmp(chunk->name, "acTL", 4) == 0) reader->animated = true;
  if (std::memcmp(chunk->name, "eXIf", 4) == 0) {
    const auto found = exif_orientation(std::as_bytes(std::span(chunk->data, chunk->size)));
    reader->orientation = found.value_or(1);
    reader->exif_damaged = !found;
  }
  return 1;
}

PngReader::PngReader(ByteSource& source) : source(source), cursor(source) {
  png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_error);
  if (png != nullptr) info = png_create_info_struct(png);
  if (info == nullptr) throw std::bad_alloc();
}

void PngReader::fail() const {
  if (ended) damaged(source, "PNG", "the file ends early");
  damaged(source, "PNG", message);
}

struct PngHeader {
  png_uint_32 width = 0, height = 0;
  int depth = 0, color = 0;
  bool transparency = false;

  bool palette() const { return color == PNG_COLOR_TYPE_PALETTE; }
  bool alpha() const { return (color & PNG_COLOR_MASK_ALPHA) != 0 || transparency; }
};

PngHeader read_header(PngReader& reader) {
  PngHeader header;
  reader.run([&] {
    png_set_read_fn(reader.png, &reader, on_read);
    png_set_user_limits(reader.png, 0x7fffffff, 0x7fffffff);
    png_set_chunk_malloc_max(reader.png, 64u << 20);
    png_set_benign_errors(reader.png, 0);
    png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Colour profiles, gamma, text and times say nothing about the numbers in the pixels.
    png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_read_user_chunk_fn(reader.png, &reader, on_chunk);
    png_read_info(reader.png, reader.info);
    png_get_IHDR(reader.png, reader.info, &header.width, &header.height, &header.depth,
                 &header.color, nullptr, nullptr, nullptr);
    header.transparency = png_get_valid(reader.png, reader.info, PNG_INFO_tRNS) != 0;
  });
  if (reader.animated) {
    refuse(reader.source, "image-pages", "it is an animated PNG: more than one picture",
           "store the one picture that is meant as a PNG of its own");
  }
  return header;
}

ImageInfo describe(const PngReader& reader, const PngHeader& header, const ReadOptions& options) {
  ImageInfo info;
  const bool label = options.purpose == Purpose::label;
  info.palette = header.palette();
  const bool indices = info.palette && label;
  const bool colors = (header.color & PNG_COLOR_MASK_COLOR) != 0 && !indices;
  info.alpha = header.alpha() && !indices && !(label && header.transparency);
  info.bands = (colors ? 3 : 1) + (info.alpha && options.keep_alpha ? 1 : 0);
  info.width = static_cast<int>(header.width);
  info.height = static_cast<int>(header.height);
  info.dtype = header.depth == 16 ? DType::u16 : DType::u8;
  info.orientation = reader.orientation;
  check_size(reader.source, info.width, info.height,
             info.bands + (info.alpha && !options.keep_alpha ? 1 : 0), info.dtype, options);
  return info;
}

/// Asks libpng for whole samples: plain values for labels, scaled ones for images; of a palette the
/// indices, since libpng gives an index beyond the palette a colour without a word.
void set_transforms(PngReader& reader, const PngHeader& header, const ImageInfo& info, bool label) {
  reader.run([&] {
    if (label || header.palette()) {
      png_set_packing(reader.png);
      if (header.palette()) png_set_check_for_invalid_index(reader.png, 0);
    } else {
      png_set_expand_gray_1_2_4_to_8(reader.png);
      if (info.alpha && header.transparency) png_set_tRNS_to_alpha(reader.png);
    }
    if (header.depth == 16 && std::endian::native == std::endian::little) png_set_swap(reader.png);
    png_set_interlace_handling(reader.png);
    png_read_update_info(reader.png, reader.info);
  });
}

void read_pixels(PngReader& reader, Image& image) {
  const std::size_t row = image.pixels.size() / static_cast<std::size_t>(image.height);
  std::vector<png_bytep> rows(static_cast<std::size_t>(image.height));
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = reinterpret_cast<png_bytep>(image.pixels.data() + y * row);
  }
  reader.run([&] {
    if (png_get_rowbytes(reader.png, reader.info) != row) png_error(reader.png, "row size");
    png_read_image(reader.png, rows.data());
    png_read_end(reader.png, nullptr);
  });
  if (reader.cursor.position() != reader.source.size()) {
    damaged(
        reader.source, "PNG",
        fmt::format("{} bytes follow its end", reader.source.size() - reader.cursor.position()));
  }
}

void keep_palette(PngReader& reader, Image& image) {
  png_colorp colors = nullptr;
  int count = 0;
  reader.run([&] { png_get_PLTE(reader.png, reader.info, &colors, &count); });
  for (int i = 0; i < count; ++i) {
    image.palette.insert(image.palette.end(), {colors[i].red, colors[i].green, colors[i].blue});
  }
}

/// The colours of a palette's indices, with its alpha where that is asked for.
Image colors_of(PngReader& reader, const Image& indices, int bands) {
  png_colorp colors = nullptr;
  png_bytep alphas = nullptr;
  int count = 0, alpha_count = 0;
  reader.run([&] {
    png_get_PLTE(reader.png, reader.info, &colors, &count);
    png_get_tRNS(reader.png, reader.info, &alphas, &alpha_count, nullptr);
  });
  Image image = make_image(indices.height, indices.width, bands, DType::u8);
  auto* to = reinterpret_cast<png_bytep>(image.pixels.data());
  for (const std::byte index : indices.pixels) {
    const int i = std::to_integer<int>(index);
    if (i >= count)
      damaged(reader.source, "PNG",
              fmt::format("a pixel has colour {} of a palette of {}", i, count));
    for (const png_byte value : {colors[i].red, colors[i].green, colors[i].blue}) *to++ = value;
    if (bands == 4) *to++ = i < alpha_count ? alphas[i] : png_byte{255};
  }
  return image;
}

}  // namespace

ImageInfo probe_png(ByteSource& source, const ReadOptions& options) {
  PngReader reader(source);
  const PngHeader header = read_header(reader);
  return describe(reader, header, options);
}

Image decode_png(ByteSource& source, const ReadOptions& options) {
  PngReader reader(source);
  const PngHeader header = read_header(reader);
  const ImageInfo info = describe(reader, header, options);
  const bool label = options.purpose == Purpose::label;
  set_transforms(reader, header, info, label);
  const int bands = info.bands + (info.alpha && !options.keep_alpha ? 1 : 0);
  Image image = make_image(info.height, info.width, header.palette() ? 1 : bands, info.dtype);
  read_pixels(reader, image);
  if (header.palette() && label) {
    keep_palette(reader, image);
  } else if (header.palette()) {
    image = colors_of(reader, image, bands);
    image.notes.push_back("palette converted to RGB");
  } else if (header.depth < 8 && !label) {
    image.notes.push_back(fmt::format("{}-bit samples scaled to 8 bits", header.depth));
  }
  if (info.alpha) settle_alpha(source, image, options);
  if (reader.exif_damaged) image.notes.push_back("EXIF data unreadable, orientation ignored");
  apply_orientation(image, reader.orientation);
  return image;
}

}  // namespace fjord
