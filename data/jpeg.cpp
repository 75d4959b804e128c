// JPEG through libjpeg: any warning is an error, since libjpeg invents the pixels it cannot read.
#include <stdio.h>  // NOLINT: jpeglib.h needs FILE

#include <jpeglib.h>
// After jpeglib.h, whose types it needs.
#include <jerror.h>

#include <csetjmp>
#include <cstring>
#include <new>

#include "data/image_decoders.h"
#include "data/image_exif.h"
#include "kernels/error.h"

namespace fjord {
namespace {

constexpr int most_scans = 100;

/// libjpeg's state with its callbacks' reports. libjpeg leaves by longjmp, so its calls are made
/// inside run(), from lambdas that own nothing.
struct JpegReader {
  explicit JpegReader(ByteSource& source);
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  template <class F>
  [[gnu::noinline]] void run(F&& calls) {
    if (!jumped_back(calls)) fail();
  }
  [[noreturn]] void fail() const;
  std::uint64_t position() const { return cursor.position() + taken - stream.bytes_in_buffer; }

  ByteSource& source;
  ByteCursor cursor;
  std::size_t taken = 0;  // bytes of the cursor's window that libjpeg holds
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr stream{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = "";
  bool ended = false, many_scans = false;

 private:
  template <class F>
  [[gnu::noinline]] bool jumped_back(F& calls) {
    if (setjmp(jump) != 0) return false;
    calls();
    return true;
  }
};

JpegReader& reader_of(j_common_ptr jpeg) { return *static_cast<JpegReader*>(jpeg->client_data); }
JpegReader& reader_of(j_decompress_ptr jpeg) {
  return *static_cast<JpegReader*>(jpeg->client_data);
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  JpegReader& reader = reader_of(jpeg);
  (*jpeg->err->format_message)(jpeg, reader.message);
  std::longjmp(reader.jump, 1);
}

void on_message(j_common_ptr jpeg, int level) {
  if (level < 0) on_error(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  JpegReader& reader = reader_of(jpeg);
  if (reader.jpeg.input_scan_number <= most_scans) return;
  reader.many_scans = true;
  std::longjmp(reader.jump, 1);
}

boolean on_fill(j_decompress_ptr jpeg) {
  JpegReader& reader = reader_of(jpeg);
  reader.cursor.skip(reader.taken);
  const auto window = reader.cursor.window();
  reader.taken = window.size();
  if (window.empty()) {
    reader.ended = true;
    std::longjmp(reader.jump, 1);
  }
  reader.stream.next_input_byte = reinterpret_cast<const JOCTET*>(window.data());
  reader.stream.bytes_in_buffer = window.size();
  return TRUE;
}

void on_skip(j_decompress_ptr jpeg, long count) {
  jpeg_source_mgr& stream = reader_of(jpeg).stream;
  while (count > 0 && static_cast<std::size_t>(count) > stream.bytes_in_buffer) {
    count -= static_cast<long>(stream.bytes_in_buffer);
    stream.bytes_in_buffer = 0;
    on_fill(jpeg);
  }
  if (count <= 0) return;
  stream.next_input_byte += count;
  stream.bytes_in_buffer -= static_cast<std::size_t>(count);
}

JpegReader::JpegReader(ByteSource& source) : source(source), cursor(source) {
  jpeg.err = jpeg_std_error(&errors);
  errors.error_exit = on_error;
  errors.emit_message = on_message;
  jpeg.client_data = this;
  run([&] { jpeg_create_decompress(&jpeg); });
  stream.init_source = [](j_decompress_ptr) {};
  stream.fill_input_buffer = on_fill;
  stream.skip_input_data = on_skip;
  stream.resync_to_restart = jpeg_resync_to_restart;
  stream.term_source = [](j_decompress_ptr) {};
  progress.progress_monitor = on_progress;
  jpeg.src = &stream;
  jpeg.progress = &progress;
}

void JpegReader::fail() const {
  const int code = errors.msg_code;
  if (code == JERR_BAD_PRECISION || code == JERR_SOF_UNSUPPORTED || code == JERR_ARITH_NOTIMPL) {
    refuse(source, "image-encoding", fmt::format("it is a JPEG of a rare kind: {}", message),
           "store it as a PNG or TIFF");
  }
  if (ended) damaged(source, "JPEG", "the file ends early");
  if (many_scans) {
    refuse(source, "image-damaged", fmt::format("it has more than {} scans", most_scans),
           "restore the file from its source, or take it out of the data set");
  }
  damaged(source, "JPEG", message);
}

struct Exif {
  int orientation = 1;
  bool damaged = false;
};

Exif find_exif(const JpegReader& reader) {
  constexpr std::string_view prefix("Exif\0\0", 6);
  for (auto* marker = reader.jpeg.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->data_length < prefix.size() ||
        std::memcmp(marker->data, prefix.data(), prefix.size()) != 0) {
      continue;
    }
    const auto block = std::as_bytes(std::span(marker->data, marker->data_length));
    const auto found = exif_orientation(block.subspan(prefix.size()));
    return {.orientation = found.value_or(1), .damaged = !found};
  }
  return {};
}

ImageInfo read_header(JpegReader& reader, const ReadOptions& options) {
  reader.run([&] {
    jpeg_save_markers(&reader.jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&reader.jpeg, TRUE);
  });
  const auto space = reader.jpeg.jpeg_color_space;
  if (space == JCS_CMYK || space == JCS_YCCK) {
    refuse(reader.source, "image-cmyk",
           "it is a CMYK JPEG, whose colours depend on a print profile",
           "convert it to RGB: magick IN.jpg -colorspace sRGB OUT.png");
  }
  const bool gray = space == JCS_GRAYSCALE;
  if (!gray && space != JCS_YCbCr && space != JCS_RGB) {
    refuse(reader.source, "image-format",
           fmt::format("it is a JPEG of {} components", reader.jpeg.num_components),
           "store it as a PNG or TIFF");
  }
  ImageInfo info;
  info.width = static_cast<int>(reader.jpeg.image_width);
  info.height = static_cast<int>(reader.jpeg.image_height);
  info.bands = gray ? 1 : 3;
  info.orientation = find_exif(reader).orientation;
  check_size(reader.source, info.width, info.height, info.bands, info.dtype, options);
  return info;
}

void read_pixels(JpegReader& reader, Image& image) {
  const std::size_t row =
      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.bands);
  auto* pixels = reinterpret_cast<JSAMPLE*>(image.pixels.data());
  reader.run([&] {
    reader.jpeg.out_color_space = image.bands == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&reader.jpeg);
    while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
      JSAMPROW line = pixels + reader.jpeg.output_scanline * row;
      jpeg_read_scanlines(&reader.jpeg, &line, 1);
    }
    jpeg_finish_decompress(&reader.jpeg);
  });
  const std::uint64_t end = reader.position();
  if (end == reader.source.size()) return;
  refuse(reader.source, "image-damaged",
         fmt::format("{} bytes follow the end of the JPEG", reader.source.size() - end),
         "keep the picture alone: jpegtran -copy all -outfile OUT.jpg IN.jpg");
}

}  // namespace

ImageInfo probe_jpeg(ByteSource& source, const ReadOptions& options) {
  JpegReader reader(source);
  return read_header(reader, options);
}

Image decode_jpeg(ByteSource& source, const ReadOptions& options) {
  JpegReader reader(source);
  const ImageInfo info = read_header(reader, options);
  const Exif exif = find_exif(reader);
  Image image = make_image(info.height, info.width, info.bands);
  read_pixels(reader, image);
  if (exif.damaged) image.notes.push_back("EXIF data unreadable, orientation ignored");
  apply_orientation(image, exif.orientation);
  return image;
}

}  // namespace fjord
