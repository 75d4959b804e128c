// The georeference of a TIFF: tags carried from an input to its prediction, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace fjord {

/// One tag as it stands in the file: TIFF field type, number of values, values in the machine's
/// byte order.
struct GeoTag {
  std::uint16_t tag = 0, type = 0;
  std::uint32_t count = 0;
  std::vector<std::byte> bytes;

  bool operator==(const GeoTag&) const = default;
};

/// Pixel scale, tie points, transformation, GeoKeys, GDAL metadata and nodata
/// (33550, 33922, 34264, 34735-34737, 42112, 42113), in that order, those that are there.
struct GeoTags {
  std::vector<GeoTag> tags;
  /// The file says where it lies by RPC coefficients (50844), which are not copied.
  bool rational_polynomials = false;

  const GeoTag* find(std::uint16_t tag) const;
  explicit operator bool() const { return !tags.empty(); }
  /// Width of a pixel in units of the coordinate system, where pixel scale or transformation say.
  std::optional<double> pixel_size() const;
  /// Empty, or why a GIS cannot place the picture ("no coordinate system", "only ground control
  /// points"): callers say it once.
  std::string warning() const;
};

class ByteSource;
class TiffFile;

/// Whether a TIFF says where it lies.
bool has_georeference(const TiffFile& file);

/// The tags of a TIFF; empty for one without any and for files of other formats. Throws as
/// read_image does.
GeoTags read_geotags(const std::filesystem::path& path);
GeoTags read_geotags(ByteSource& source);

}  // namespace fjord
