// Reads the tags that place a TIFF on the earth, as bytes; nothing is interpreted but the pixel
// size.
#include "data/geotiff.h"

#include <array>
#include <cmath>
#include <cstring>

#include "data/tiff_file.h"

namespace fjord {
namespace {

constexpr std::uint16_t pixel_scale = 33550, tie_points = 33922, transformation = 34264,
                        geo_keys = 34735, geo_doubles = 34736, geo_ascii = 34737,
                        gdal_metadata = 42112, gdal_nodata = 42113, rpc = 50844;
constexpr std::array copied{pixel_scale, tie_points, transformation, geo_keys,
                            geo_doubles, geo_ascii,  gdal_metadata,  gdal_nodata};

std::optional<double> number(const GeoTag* tag, std::size_t index) {
  if (tag == nullptr || tag->type != TIFF_DOUBLE || index >= tag->count) return std::nullopt;
  double value = 0;
  std::memcpy(&value, tag->bytes.data() + index * sizeof value, sizeof value);
  return value;
}

bool is_tiff(ByteSource& source) {
  const auto head = source.read(0, 4);
  const std::string_view magic(reinterpret_cast<const char*>(head.data()), head.size());
  using namespace std::string_view_literals;
  return magic == "II*\0"sv || magic == "MM\0*"sv || magic == "II+\0"sv || magic == "MM\0+"sv;
}

}  // namespace

const GeoTag* GeoTags::find(std::uint16_t tag) const {
  for (const GeoTag& candidate : tags) {
    if (candidate.tag == tag) return &candidate;
  }
  return nullptr;
}

std::optional<double> GeoTags::pixel_size() const {
  if (const auto scale = number(find(pixel_scale), 0)) return std::abs(*scale);
  const GeoTag* matrix = find(transformation);
  const auto a = number(matrix, 0), d = number(matrix, 4);
  if (a && d) return std::hypot(*a, *d);
  return std::nullopt;
}

std::string GeoTags::warning() const {
  const bool placed = find(transformation) != nullptr ||
                      (find(pixel_scale) != nullptr && find(tie_points) != nullptr);
  if (!placed && find(tie_points) != nullptr) {
    return "not georeferenced: only ground control points";
  }
  if (!placed && rational_polynomials) return "not georeferenced: only RPC coefficients";
  if (placed && find(geo_keys) == nullptr) return "no coordinate system";
  return "";
}

bool has_georeference(const TiffFile& file) {
  for (const std::uint16_t tag : {pixel_scale, tie_points, transformation, geo_keys}) {
    if (file.raw_tag(tag)) return true;
  }
  return false;
}

GeoTags read_geotags(ByteSource& source) {
  if (!is_tiff(source)) return {};
  TiffFile file(source);
  file.check();
  GeoTags geo;
  for (const std::uint16_t tag : copied) {
    if (auto found = file.raw_tag(tag)) geo.tags.push_back(std::move(*found));
  }
  geo.rational_polynomials = file.raw_tag(rpc).has_value();
  file.check();
  return geo;
}

GeoTags read_geotags(const std::filesystem::path& path) {
  ByteSource source(path);
  return read_geotags(source);
}

}  // namespace fjord
