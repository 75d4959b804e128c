// Image files in memory: what a file holds, read strictly, with every conversion written down.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/view.h"

namespace fjord {

enum class ImageFormat : std::uint8_t { png, jpeg, tiff, bmp, gif, psd, pnm, tga };

std::string_view to_string(ImageFormat format);

/// Pixels of one file, H x W x C, rows from the top, in the machine's byte order.
/// Images are u8, u16 or f32; labels are u8, u16 or i32.
struct Image {
  int height = 0, width = 0, bands = 0;
  DType dtype = DType::u8;
  std::vector<std::byte> pixels;
  ImageFormat format = ImageFormat::png;
  /// The EXIF orientation that the file asked for; already applied to the pixels. 1 = none.
  int orientation = 1;
  /// The palette's colours when indices were kept (labels): r, g, b of each index.
  std::vector<std::uint8_t> palette;
  /// The value that stands for "no data" in the file (GDAL_NODATA); NaN is possible.
  std::optional<double> nodata;
  /// Conversions made while reading, as phrases ("palette converted to RGB"). Callers say each
  /// once.
  std::vector<std::string> notes;

  std::int64_t count() const { return std::int64_t{height} * width * bands; }
  template <class T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(pixels.data()), pixels.size() / sizeof(T)};
  }
  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(pixels.data()), pixels.size() / sizeof(T)};
  }
  /// One sample of any dtype.
  double value(int y, int x, int band = 0) const;
};

/// An image of the given shape, zeroed.
Image make_image(int height, int width, int bands, DType dtype = DType::u8);

/// Images hold colours (sub-byte samples are scaled, palettes become RGB); labels hold class
/// numbers (raw values, indices kept, no lossy format).
enum class Purpose : std::uint8_t { image, label };

struct ReadOptions {
  Purpose purpose = Purpose::image;
  /// Set where a threshold will be applied by the caller: only then may a label be a JPEG.
  std::optional<double> label_threshold = std::nullopt;
  /// Alpha becomes a band instead of an error (alpha that is opaque everywhere is dropped without).
  bool keep_alpha = false;
  /// Refused before anything is allocated.
  std::int64_t max_pixels = 256'000'000;
  std::int64_t max_bytes = std::int64_t{4} << 30;
};

/// What read_image would give, known from the file's header alone. Size is after orientation.
struct ImageInfo {
  int height = 0, width = 0, bands = 0;
  DType dtype = DType::u8;
  ImageFormat format = ImageFormat::png;
  int orientation = 1;
  bool palette = false;
  /// The file has an alpha channel; counted in bands only with keep_alpha.
  bool alpha = false;
  std::optional<double> nodata;
  bool geotiff = false;
};

/// Decodes one file. The format is found by content, not by name. Throws Error{dataset} for a file
/// that is absent, unreadable, no regular file, damaged, or of a kind that would have to be guessed
/// at; Error{io} where the device fails. Decoder warnings that mean damage are errors.
Image read_image(const std::filesystem::path& path, const ReadOptions& options = {});

/// The header of one file, without decoding pixels. Same errors.
ImageInfo probe_image(const std::filesystem::path& path, const ReadOptions& options = {});

/// The same from bytes in memory; `name` stands in messages.
Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                   const ReadOptions& options = {});
ImageInfo probe_bytes(std::span<const std::byte> bytes, const std::string& name,
                      const ReadOptions& options = {});

}  // namespace fjord
