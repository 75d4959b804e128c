// The fuzzers' seeds without a fuzzer: each is an image or an Error, nothing else.
#include <doctest/doctest.h>

#include <algorithm>

#include "data/geotiff.h"
#include "data/image.h"
#include "data/image_exif.h"
#include "kernels/error.h"
#include "tests/images/scratch.h"

namespace fjord {
namespace {

namespace fs = std::filesystem;

/// 1 when the bytes are an image, 0 when they are refused as they should be.
int decodes(const test::Bytes& bytes, Purpose purpose) {
  try {
    const Image image = decode_image(bytes, "seed", {.purpose = purpose, .max_pixels = 1 << 20});
    CHECK(image.pixels.size() == static_cast<std::size_t>(image.count()) * size_of(image.dtype));
    return 1;
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::dataset);
    return 0;
  }
}

}  // namespace

TEST_CASE("seeds of the fuzzers, whole and with every byte changed") {
  int files = 0, images = 0;
  for (const char* folder : {"png", "jpeg", "tiff", "metadata", "other"}) {
    for (const auto& entry : fs::directory_iterator(fs::path(FJORD_CORPUS) / folder)) {
      const test::Bytes bytes = test::read_bytes(entry.path());
      CAPTURE(entry.path().string());
      ++files;
      images += decodes(bytes, Purpose::image) + decodes(bytes, Purpose::label);
      for (std::size_t at = 0; at < std::min<std::size_t>(bytes.size(), 600); ++at) {
        test::Bytes changed = bytes;
        changed[at] ^= std::byte{0x5a};
        decodes(changed, Purpose::image);
        (void)exif_orientation(changed);
      }
    }
  }
  CHECK(files >= 30);
  CHECK(images >= 40);
  const GeoTags geo = read_geotags(fs::path(FJORD_CORPUS) / "metadata/geo.tif");
  CHECK(geo.tags.size() == 3);
}

}  // namespace fjord
