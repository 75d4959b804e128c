// PNG of every depth and colour type, exactly.
#include <doctest/doctest.h>

#include "data/image.h"
#include "kernels/error.h"
#include "tests/images/image_files.h"
#include "tests/images/messages.h"

namespace fjord {
namespace {

using namespace test;
using Notes = std::vector<std::string>;

std::vector<int> values(const Image& image) {
  std::vector<int> out;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < image.bands; ++c) out.push_back(static_cast<int>(image.value(y, x, c)));
    }
  }
  return out;
}

std::vector<int> samples_for(const PngSpec& spec) {
  return pattern(static_cast<std::size_t>(spec.width * spec.height * spec.bands()),
                 1 << spec.depth);
}

const ReadOptions label{.purpose = Purpose::label};

/// An 8-bit picture whose last band is opaque but for `hole`.
std::vector<int> with_alpha(const PngSpec& spec, int full, int hole) {
  auto samples = samples_for(spec);
  const auto bands = static_cast<std::size_t>(spec.bands());
  for (std::size_t i = bands - 1; i < samples.size(); i += bands) samples[i] = full;
  samples.back() = hole;
  return samples;
}

std::vector<int> without_last_band(const std::vector<int>& samples, int bands) {
  std::vector<int> out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (i % static_cast<std::size_t>(bands) != static_cast<std::size_t>(bands) - 1) {
      out.push_back(samples[i]);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("PNG: 8 and 16 bits, gray and RGB, interlaced or not, give their own values") {
  for (const int color : {0, 2}) {
    for (const int depth : {8, 16}) {
      for (const bool interlaced : {false, true}) {
        const PngSpec spec{
            .width = 19, .height = 11, .depth = depth, .color = color, .interlaced = interlaced};
        const auto samples = samples_for(spec);
        const Bytes file = make_png(spec, samples);
        for (const Purpose purpose : {Purpose::image, Purpose::label}) {
          const Image image = decode_image(file, "a.png", {.purpose = purpose});
          CHECK(image.width == 19);
          CHECK(image.height == 11);
          CHECK(image.bands == spec.bands());
          CHECK(image.dtype == (depth == 16 ? DType::u16 : DType::u8));
          CHECK(values(image) == samples);
          CHECK(image.notes.empty());
        }
      }
    }
  }
}

TEST_CASE("PNG row 36: 1, 2 and 4 bits are scaled in images and raw in labels") {
  for (const int depth : {1, 2, 4}) {
    const PngSpec spec{.width = 13, .height = 3, .depth = depth};
    auto samples = samples_for(spec);
    const Bytes file = make_png(spec, samples);
    const Image raw = decode_image(file, "a.png", label);
    CHECK(values(raw) == samples);
    CHECK(raw.notes.empty());
    for (int& sample : samples) sample = sample * 255 / ((1 << depth) - 1);
    const Image scaled = decode_image(file, "a.png");
    CHECK(values(scaled) == samples);
    CHECK(scaled.notes == Notes{fmt::format("{}-bit samples scaled to 8 bits", depth)});
  }
}

TEST_CASE("PNG row 35: a palette becomes RGB in images and stays indices in labels") {
  for (const int depth : {1, 2, 4, 8}) {
    PngSpec spec{.width = 9, .height = 4, .depth = depth, .color = 3};
    for (int i = 0; i < 1 << depth; ++i) {
      spec.palette.push_back({static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(255 - i), 7});
    }
    const auto samples = samples_for(spec);
    const Bytes file = make_png(spec, samples);
    const Image indices = decode_image(file, "a.png", label);
    CHECK(indices.bands == 1);
    CHECK(values(indices) == samples);
    CHECK(indices.palette.size() == spec.palette.size() * 3);
    CHECK(indices.palette[1] == 255);
    std::vector<int> colors;
    for (const int i : samples) colors.insert(colors.end(), {i, 255 - i, 7});
    const Image rgb = decode_image(file, "a.png");
    CHECK(values(rgb) == colors);
    CHECK(rgb.notes == Notes{"palette converted to RGB"});
    CHECK(probe_bytes(file, "a.png").bands == 3);
    CHECK(probe_bytes(file, "a.png", label).bands == 1);
  }
}

TEST_CASE("PNG row 35: an index beyond the palette has no colour; in a label it is a value") {
  PngSpec spec{.width = 4, .height = 1, .depth = 8, .color = 3};
  spec.palette = {{10, 20, 30}, {40, 50, 60}};
  const Bytes file = make_png(spec, {0, 1, 2, 0});
  CHECK(message_of([&] { decode_image(file, "a.png"); }) ==
        "error[E-image-damaged] cannot read a.png - the PNG is damaged: a pixel has colour 2 of a "
        "palette of 2 - restore the file from its source, or take it out of the data set");
  CHECK(values(decode_image(file, "a.png", label)) == std::vector<int>{0, 1, 2, 0});
}

TEST_CASE("PNG row 38: opaque alpha is dropped and said, real alpha is refused or kept") {
  for (const int color : {4, 6}) {
    for (const int depth : {8, 16}) {
      const PngSpec spec{.depth = depth, .color = color};
      const int full = (1 << depth) - 1;
      const auto samples = with_alpha(spec, full, full);
      const Bytes file = make_png(spec, samples);
      const Image image = decode_image(file, "a.png");
      CHECK(values(image) == without_last_band(samples, spec.bands()));
      CHECK(image.notes == Notes{fmt::format("alpha {} dropped", full)});
      CHECK(probe_bytes(file, "a.png").bands == spec.bands() - 1);
      CHECK(values(decode_image(file, "a.png", {.keep_alpha = true})) == samples);
      const auto holes = with_alpha(spec, full, full - 1);
      CHECK_THROWS_AS(decode_image(make_png(spec, holes), "a.png"), Error);
      CHECK(values(decode_image(make_png(spec, holes), "a.png", {.keep_alpha = true})) == holes);
    }
  }
}

TEST_CASE("PNG: transparency of a palette or of one gray value is alpha, in labels it is nothing") {
  PngSpec spec{.width = 4, .height = 1, .depth = 8, .color = 3};
  spec.palette = {{10, 20, 30}, {40, 50, 60}};
  spec.palette_alpha = {255, 0};
  const Bytes file = make_png(spec, {0, 1, 0, 1});
  CHECK_THROWS_AS(decode_image(file, "a.png"), Error);
  CHECK(values(decode_image(file, "a.png", label)) == std::vector{0, 1, 0, 1});
  CHECK(values(decode_image(make_png(spec, {0, 0, 0, 0}), "a.png")).size() == 12);
  const PngSpec gray{.width = 3, .height = 1, .transparent_gray = 5};
  CHECK_THROWS_AS(decode_image(make_png(gray, {4, 5, 6}), "a.png"), Error);
  CHECK(values(decode_image(make_png(gray, {4, 4, 6}), "a.png")) == std::vector{4, 4, 6});
  CHECK(values(decode_image(make_png(gray, {4, 5, 6}), "a.png", label)) == std::vector{4, 5, 6});
}

TEST_CASE("PNG row 49: gamma, colour profiles and text change no value") {
  const PngSpec spec{.color = 2};
  const auto samples = samples_for(spec);
  Bytes file = with_chunk(make_png(spec, samples), "gAMA", Bytes(4, std::byte{1}));
  file = with_chunk(file, "iCCP", to_bytes(std::string("broken profile\0\0nonsense", 24)));
  file = with_chunk(file, "tEXt", to_bytes(std::string("Comment\0text", 12)));
  const Image image = decode_image(file, "a.png");
  CHECK(values(image) == samples);
  CHECK(image.notes.empty());
}

TEST_CASE("PNG: the orientation of its eXIf chunk is applied") {
  const PngSpec spec{.width = 3, .height = 2};
  const Bytes file = with_chunk(make_png(spec, {1, 2, 3, 4, 5, 6}), "eXIf", exif_block(6, true));
  const Image image = decode_image(file, "a.png");
  CHECK(image.width == 2);
  CHECK(values(image) == std::vector{4, 1, 5, 2, 6, 3});
  CHECK(image.notes == Notes{"EXIF orientation 6 applied"});
  CHECK(probe_bytes(file, "a.png").width == 2);
}

TEST_CASE("row 41: a single pixel is an image in every format") {
  CHECK(values(decode_image(make_png({.width = 1, .height = 1}, {9}), "a.png")) == std::vector{9});
  CHECK(decode_image(make_jpeg({.width = 1, .height = 1, .components = 1}, {9}), "a.jpg").width ==
        1);
  CHECK(values(decode_image(make_tiff({.width = 1, .height = 1}, {9}), "a.tif")) == std::vector{9});
}

}  // namespace fjord
