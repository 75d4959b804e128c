// JPEG: values as libjpeg gives them, orientation applied, everything doubtful refused.
#include <doctest/doctest.h>

#include "data/image.h"
#include "data/image_exif.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"

namespace fjord {
namespace {

using namespace test;

/// A smooth picture that survives compression closely: red grows with x, green with y.
std::vector<std::uint8_t> ramp(const JpegSpec& spec) {
  std::vector<std::uint8_t> samples;
  for (int y = 0; y < spec.height; ++y) {
    for (int x = 0; x < spec.width; ++x) {
      samples.push_back(static_cast<std::uint8_t>(x * 6));
      if (spec.components == 3) {
        samples.push_back(static_cast<std::uint8_t>(y * 8));
        samples.push_back(100);
      }
    }
  }
  return samples;
}

double worst(const Image& image, const std::vector<std::uint8_t>& samples) {
  double most = 0;
  const auto values = image.as<std::uint8_t>();
  REQUIRE(values.size() == samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    most = std::max(most, std::abs(double{1} * values[i] - samples[i]));
  }
  return most;
}

}  // namespace

TEST_CASE("JPEG: gray and RGB, sequential and progressive, within the quantisation") {
  for (const int components : {1, 3}) {
    for (const bool progressive : {false, true}) {
      const JpegSpec spec{.components = components, .quality = 98, .progressive = progressive};
      const auto samples = ramp(spec);
      const Image image = decode_image(make_jpeg(spec, samples), "a.jpg");
      CHECK(image.width == 32);
      CHECK(image.height == 24);
      CHECK(image.bands == components);
      // Quality 98 keeps gray within 2; halved chroma moves the ramps' ends by a few more.
      CHECK(worst(image, samples) <= (components == 1 ? 2 : 8));
      CHECK(image.notes.empty());
    }
  }
}

TEST_CASE("JPEG row 39: EXIF orientations of both byte orders turn the picture upright") {
  const JpegSpec spec{.components = 1, .quality = 98};
  const Bytes plain = make_jpeg(spec, ramp(spec));
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Image turned = decode_image(plain, "a.jpg");
    apply_orientation(turned, orientation);
    const Bytes file = with_exif(plain, exif_block(orientation, orientation % 2 == 0));
    const Image image = decode_image(file, "a.jpg");
    CHECK(image.pixels == turned.pixels);
    CHECK(image.orientation == orientation);
    CHECK(image.notes.size() == (orientation == 1 ? 0 : 1));
    const ImageInfo info = probe_bytes(file, "a.jpg");
    CHECK(info.width == image.width);
    CHECK(info.height == image.height);
  }
  const Bytes broken = with_exif(plain, to_bytes("MM\1*broken"));
  CHECK(decode_image(broken, "a.jpg").notes ==
        std::vector<std::string>{"EXIF data unreadable, orientation ignored"});
}

TEST_CASE("orientations as the EXIF standard draws them") {
  // The letter F needs no turn in orientation 1; each row says where its pixels 1..6 are stored.
  const std::vector<std::pair<int, std::vector<std::uint8_t>>> stored{
      {1, {1, 2, 3, 4, 5, 6}}, {2, {2, 1, 4, 3, 6, 5}}, {3, {6, 5, 4, 3, 2, 1}},
      {4, {5, 6, 3, 4, 1, 2}}, {5, {1, 3, 5, 2, 4, 6}}, {6, {2, 4, 6, 1, 3, 5}},
      {7, {6, 4, 2, 5, 3, 1}}, {8, {5, 3, 1, 6, 4, 2}}};
  for (const auto& [orientation, pixels] : stored) {
    CAPTURE(orientation);
    const bool swap = swaps_sides(orientation);
    Image image = make_image(swap ? 2 : 3, swap ? 3 : 2, 1);
    std::copy(pixels.begin(), pixels.end(), image.as<std::uint8_t>().begin());
    apply_orientation(image, orientation);
    CHECK(image.height == 3);
    CHECK(image.width == 2);
    const std::vector<std::uint8_t> upright{1, 2, 3, 4, 5, 6};
    CHECK(std::equal(upright.begin(), upright.end(), image.as<std::uint8_t>().begin()));
  }
}

TEST_CASE("JPEG rows 30 and 31: cut anywhere it is refused") {
  for (const bool progressive : {false, true}) {
    const JpegSpec spec{.width = 64, .height = 48, .progressive = progressive};
    const Bytes file = make_jpeg(spec, pattern_of<std::uint8_t>(64 * 48 * 3, 256));
    for (std::size_t i = 0; i < 200; ++i) {
      const std::size_t cut = file.size() * i / 200;
      CAPTURE(cut);
      CHECK_THROWS_AS(decode_image(std::span(file).first(cut), "a.jpg"), Error);
    }
  }
}

}  // namespace fjord
