// Fuzzes what is read beside the pixels: EXIF orientation and the tags of a GeoTIFF.
#include "data/geotiff.h"
#include "data/image_exif.h"
#include "data/image_source.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto orientation = fjord::exif_orientation(bytes);
  if (orientation && (*orientation < 1 || *orientation > 8)) __builtin_trap();
  try {
    fjord::ByteSource source(bytes, "input");
    const fjord::GeoTags geo = fjord::read_geotags(source);
    for (const fjord::GeoTag& tag : geo.tags) {
      if (tag.count > 0 && tag.bytes.size() < tag.count) __builtin_trap();
    }
    if (geo.pixel_size().value_or(0) < 0) __builtin_trap();
    (void)geo.warning();
  } catch (const fjord::Error& error) {
    if (error.exit != fjord::ExitCode::dataset) __builtin_trap();
  }
  return 0;
}
