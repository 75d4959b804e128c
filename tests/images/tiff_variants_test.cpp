// One aerial tile in 23 TIFF encodings (of the folder that FJORD_SHARED names) decodes exactly.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "data/image.h"
#include "tests/images/scratch.h"

namespace fjord {
namespace {

namespace fs = std::filesystem;
constexpr int side = 256;

/// The value that a file of this name must hold, from the tile's 4 bytes.
double expected(const std::string& name, const std::vector<std::byte>& tile, int y, int x, int c) {
  const auto sample = [&](int row, int band) {
    const int at = (row * side + x) * 4 + band;
    return std::to_integer<int>(tile[static_cast<std::size_t>(at)]);
  };
  if (name.starts_with("u8c8")) return c < 4 ? sample(y, c) : sample(side - 1 - y, c - 4);
  if (name.starts_with("u8c1")) return sample(y, 3);
  if (name.starts_with("u16c4_11bit")) return sample(y, c) * 8;
  if (name.starts_with("u16")) return sample(y, c) * 257;
  if (name.starts_with("f32")) return static_cast<float>(sample(y, c)) / 255.0f;
  return sample(y, c);
}

int wrong_pixels(const fs::path& path, const std::vector<std::byte>& tile) {
  const Image image = read_image(path);
  const std::string name = path.filename().string();
  REQUIRE(image.height == side);
  REQUIRE(image.width == side);
  CHECK(image.bands == name[name.find('c') + 1] - '0');
  const ImageInfo info = probe_image(path);
  CHECK(info.bands == image.bands);
  CHECK(info.dtype == image.dtype);
  int wrong = 0;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      for (int c = 0; c < image.bands; ++c) {
        if (image.value(y, x, c) != expected(name, tile, y, x, c)) ++wrong;
      }
    }
  }
  return wrong;
}

}  // namespace

TEST_CASE("TIFF variants of real data decode exactly") {
  const char* shared = std::getenv("FJORD_SHARED");
  const fs::path folder = fs::path(shared != nullptr ? shared : "") / "datasets/tiff_variants";
  if (shared == nullptr || !fs::exists(folder)) {
    fmt::print(stderr, "skipped: FJORD_SHARED names no folder with datasets/tiff_variants\n");
    return;
  }
  const auto tile = test::read_bytes(folder / "expected_u8_rgbn_hwc.raw");
  REQUIRE(tile.size() == side * side * 4);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".tif") continue;
    CAPTURE(entry.path().filename().string());
    CHECK(wrong_pixels(entry.path(), tile) == 0);
    ++files;
  }
  CHECK(files == 23);
}

TEST_CASE("every file of the shared data sets is read") {
  const char* shared = std::getenv("FJORD_SHARED");
  const fs::path folder = fs::path(shared != nullptr ? shared : "") / "datasets";
  if (shared == nullptr || !fs::exists(folder)) {
    fmt::print(stderr, "skipped: FJORD_SHARED names no folder with datasets\n");
    return;
  }
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path parent = entry.path().parent_path().filename();
    if (!entry.is_regular_file() || (parent != "images" && parent != "labels")) continue;
    CAPTURE(entry.path().string());
    const Purpose purpose = parent == "labels" ? Purpose::label : Purpose::image;
    const Image image = read_image(entry.path(), {.purpose = purpose});
    const ImageInfo info = probe_image(entry.path(), {.purpose = purpose});
    CHECK(image.bands == info.bands);
    CHECK(image.height == info.height);
    CHECK(image.width == info.width);
    CHECK(image.dtype == info.dtype);
    for (const std::string& note : image.notes) CAPTURE(note);
    CHECK(image.notes.empty());
    ++files;
  }
  CHECK(files > 1000);
}

}  // namespace fjord
