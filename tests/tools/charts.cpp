// Pictures: their size, that what they show is there, and that odd data does not break them.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "data/image.h"
#include "tools/canvas.h"
#include "tools/overlays.h"
#include "tools/plots.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace {

std::set<std::uint32_t> colors_of(const Image& image) {
  std::set<std::uint32_t> colors;
  const auto pixels = image.as<std::uint8_t>();
  for (std::size_t i = 0; i < pixels.size(); i += 3)
    colors.insert(std::uint32_t{pixels[i]} << 16 | std::uint32_t{pixels[i + 1]} << 8 |
                  pixels[i + 2]);
  return colors;
}

std::uint32_t packed(Color c) { return std::uint32_t{c.r} << 16 | std::uint32_t{c.g} << 8 | c.b; }

}  // namespace

TEST_CASE("ticks are round and cover the values") {
  CHECK(nice_ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  CHECK(nice_ticks(0, 37, 4) == std::vector<double>{0, 10, 20, 30, 40});
  const auto flat = nice_ticks(3, 3, 5);
  CHECK(flat.front() <= 3);
  CHECK(flat.back() >= 3);
}

TEST_CASE("curves are drawn in their colours, whatever the values") {
  const TempFolder folder;
  LinePlot plot{
      .title = "t", .x_label = "x", .y_label = "y", .curves = {}, .y_min = {}, .y_max = {}};
  plot.curves = {{"a", {1, 2, 3}, {0.5, NAN, 0.25}, true},
                 {"b", {1, 2, 3}, {1e-30, 1e30, INFINITY}}};
  draw_lines(folder / "a.png", plot);
  const Image image = read_image(folder / "a.png");
  CHECK(image.width == 900);
  CHECK(image.height == 600);
  CHECK(colors_of(image).count(packed(curve_color(0))) == 1);
  CHECK(colors_of(image).count(packed(curve_color(1))) == 1);
  plot.curves = {};
  CHECK_NOTHROW(draw_lines(folder / "empty.png", plot));
}

TEST_CASE("bars and confusion matrices accept empty and absent classes") {
  const TempFolder folder;
  draw_bars(folder / "bars.png", {.title = "t",
                                  .y_label = "y",
                                  .labels = {"a", "b"},
                                  .values = {0.5, std::nullopt},
                                  .y_max = 1});
  CHECK(colors_of(read_image(folder / "bars.png")).count(packed(class_color(0))) == 1);
  CHECK(colors_of(read_image(folder / "bars.png")).count(packed(class_color(1))) == 0);
  draw_confusion(folder / "c.png", {"t", {"a", "b"}, {{5, 0}, {0, 0}}});
  CHECK(read_image(folder / "c.png").width == 900);
  const std::size_t many = 60;
  draw_confusion(folder / "many.png", {"t", std::vector<std::string>(many, "a long class name"),
                                       std::vector<std::vector<std::int64_t>>(
                                           many, std::vector<std::int64_t>(many, 1))});
  CHECK(read_image(folder / "many.png").width == 900);
}

TEST_CASE("a sheet shows hits, false alarms and misses") {
  OverlaySample sample{make_image(8, 8, 3), std::vector<std::uint8_t>(64),
                       std::vector<std::uint8_t>(64), "s"};
  for (std::size_t i = 0; i < 64; ++i) {
    sample.label[i] = i < 32;
    sample.prediction[i] = i % 8 < 4;
  }
  const auto right = overlay_sheet(sample, {"background", "foreground"});
  sample.prediction = sample.label;
  const auto perfect = overlay_sheet(sample, {"background", "foreground"});
  const Color missed = mix({0, 0, 0}, {50, 110, 225}, 0.75);
  CHECK(colors_of(right).count(packed(missed)) == 1);
  CHECK(colors_of(perfect).count(packed(missed)) == 0);
}

TEST_CASE("any image becomes a picture") {
  const std::vector<float> values = {0, NAN, 5, INFINITY};
  const Image grey = display_image(values, 2, 2, 1);
  CHECK(grey.bands == 3);
  Image wide = make_image(2, 2, 4, DType::u16);
  wide.as<std::uint16_t>()[0] = 65535;
  CHECK(display_image(wide).bands == 3);
  const std::vector<std::uint8_t> prediction = {0, 1, 2, 255};
  CHECK(prediction_overlay(wide, prediction).width == 2);
}
