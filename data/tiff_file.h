// A TIFF opened on a ByteSource: libtiff that prints nothing and remembers what went wrong.
#pragma once

#include <tiffio.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "data/geotiff.h"
#include "data/image_source.h"

namespace fjord {

/// Owns the handle. Errors of libtiff are kept until check() turns them into Error{dataset}.
/// Warnings are errors where they mean that libtiff guesses (see tiff_file.cpp), and always once
/// pixels are decoded.
class TiffFile {
 public:
  explicit TiffFile(ByteSource& source);
  ~TiffFile();
  TiffFile(const TiffFile&) = delete;
  TiffFile& operator=(const TiffFile&) = delete;

  TIFF* handle() const { return tiff_; }
  ByteSource& source() const { return source_; }
  void check() const;
  /// From here on every warning is damage.
  void start_decoding() { decoding_ = true; }
  /// Refuses files of several pictures; overviews and masks of the first one are no pictures.
  void check_pages();

  template <class T>
  T field(std::uint32_t tag, T otherwise) const {
    T value{};
    return TIFFGetFieldDefaulted(tiff_, tag, &value) == 1 ? value : otherwise;
  }
  /// A tag as it stands in the file, for tags that libtiff does not interpret.
  std::optional<GeoTag> raw_tag(std::uint16_t tag) const;

  /// For libtiff's callbacks.
  std::uint64_t position = 0;
  void note(bool error, std::string_view text);

 private:
  /// libtiff takes a directory without its last bytes for the file's last.
  void check_directory_end(int page) const;

  ByteSource& source_;
  TIFF* tiff_ = nullptr;
  std::string problem_;
  bool decoding_ = false;
};

}  // namespace fjord
