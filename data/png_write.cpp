// PNG writing: 8-bit gray and RGB, 16-bit gray.
#include <png.h>

#include <bit>
#include <csetjmp>
#include <new>
#include <vector>

#include "data/image_write.h"
#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace fjord {
namespace {

struct PngWriter {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<std::byte> bytes;
  bool no_memory = false;

  PngWriter() = default;
  ~PngWriter() { png_destroy_write_struct(&png, &info); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  template <class F>
  [[gnu::noinline]] bool run(F&& calls) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    calls();
    return true;
  }
};

void on_error(png_structp png, png_const_charp) { png_longjmp(png, 1); }
void on_warning(png_structp, png_const_charp) {}
void on_flush(png_structp) {}

void on_write(png_structp png, png_bytep from, png_size_t count) {
  auto* writer = static_cast<PngWriter*>(png_get_io_ptr(png));
  const auto* start = reinterpret_cast<const std::byte*>(from);
  try {
    writer->bytes.insert(writer->bytes.end(), start, start + count);
  } catch (const std::bad_alloc&) {
    writer->no_memory = true;
  }
  if (writer->no_memory) png_error(png, "no memory");
}

}  // namespace

void write_png(const std::filesystem::path& path, const Image& image) {
  const bool wide = image.dtype == DType::u16;
  check((image.dtype == DType::u8 && (image.bands == 1 || image.bands == 3)) ||
            (wide && image.bands == 1),
        "write_png", "takes 8-bit gray or RGB or 16-bit gray, not {} bands of {} bytes",
        image.bands, size_of(image.dtype));
  check(image.height > 0 && image.width > 0, "write_png", "takes no empty image");
  PngWriter writer;
  writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, on_error, on_warning);
  if (writer.png != nullptr) writer.info = png_create_info_struct(writer.png);
  if (writer.info == nullptr) throw std::bad_alloc();
  const std::size_t row = image.pixels.size() / static_cast<std::size_t>(image.height);
  const bool written = writer.run([&] {
    png_set_write_fn(writer.png, &writer, on_write, on_flush);
    png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(image.width),
                 static_cast<png_uint_32>(image.height), wide ? 16 : 8,
                 image.bands == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(writer.png, writer.info);
    if (wide && std::endian::native == std::endian::little) png_set_swap(writer.png);
    for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
      png_write_row(writer.png, reinterpret_cast<png_const_bytep>(image.pixels.data() + y * row));
    }
    png_write_end(writer.png, nullptr);
  });
  if (!written) throw std::bad_alloc();  // encoding to memory fails for no other reason
  AtomicFile file(path);
  file.write(std::span<const std::byte>(writer.bytes));
  file.commit();
}

}  // namespace fjord
