// A confusion matrix as a picture: pixels and their share of the row's true pixels.
#include <algorithm>

#include "data/image_write.h"
#include "tools/axes.h"
#include "tools/plots.h"

namespace fjord {

namespace {

constexpr int kWidth = 900, kHeight = 600;
constexpr double kLeft = 150, kTop = 110, kRight = 130, kBottom = 40;

std::string short_count(std::int64_t pixels) {
  const double value = static_cast<double>(pixels);
  if (pixels >= 1'000'000'000) return fmt::format("{:.2f}G", value / 1e9);
  if (pixels >= 1'000'000) return fmt::format("{:.2f}M", value / 1e6);
  if (pixels >= 10'000) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{}", pixels);
}

void draw_cell(Canvas& canvas, cv::Rect2d cell, std::int64_t pixels, double share) {
  const Color full = {24, 84, 158};
  canvas.fill(cell, mix({244, 247, 251}, full, share));
  canvas.frame(cell, kPaper, 1);
  const double height = std::clamp(cell.height / 4.5, 7.0, 17.0);
  const Color ink = share > 0.55 ? kPaper : kInk;
  const cv::Point2d center(cell.x + cell.width / 2, cell.y + cell.height / 2);
  if (cell.height < 18) return;
  canvas.text({center.x, center.y - height * 0.62}, fmt::format("{:.1f} %", share * 100),
              {.height = height, .color = ink, .align = Align::center, .bold = height > 12});
  canvas.text({center.x, center.y + height * 0.72}, short_count(pixels),
              {.height = height * 0.8, .color = ink, .align = Align::center});
}

// A bar of the shades beside the matrix.
void draw_scale(Canvas& canvas, double x, double top, double height) {
  for (int i = 0; i < 100; ++i)
    canvas.fill({x, top + height * (99 - i) / 100, 16, height / 100 + 0.5},
                mix({244, 247, 251}, {24, 84, 158}, i / 99.0));
  for (const int percent : {0, 50, 100})
    canvas.text({x + 24, top + height * (1 - percent / 100.0)}, fmt::format("{} %", percent),
                {.height = 12, .color = kPale});
}

}  // namespace

void draw_confusion(const std::filesystem::path& path, const ConfusionPlot& plot) {
  Canvas canvas(kWidth, kHeight);
  canvas.text({kLeft, 26}, plot.title, {.height = 18, .bold = true});
  const std::size_t k = plot.classes.size();
  const double width = (kWidth - kLeft - kRight) / static_cast<double>(k);
  const double height = (kHeight - kTop - kBottom) / static_cast<double>(k);
  canvas.text({kLeft + width * static_cast<double>(k) / 2, 62}, "predicted class",
              {.height = 14, .align = Align::center});
  canvas.text({22, kTop + height * static_cast<double>(k) / 2}, "true class",
              {.height = 14, .upwards = true});
  for (std::size_t row = 0; row < k; ++row) {
    std::int64_t total = 0;
    for (const std::int64_t pixels : plot.pixels[row]) total += pixels;
    const double y = kTop + static_cast<double>(row) * height;
    canvas.text({kLeft - 10, y + height / 2}, fitted(plot.classes[row], kLeft - 50, {.height = 13}),
                {.height = 13, .align = Align::right});
    canvas.text({kLeft + (static_cast<double>(row) + 0.5) * width, 92},
                fitted(plot.classes[row], width - 4, {.height = 13}),
                {.height = 13, .align = Align::center});
    for (std::size_t column = 0; column < k; ++column) {
      const std::int64_t pixels = plot.pixels[row][column];
      const double share = total ? static_cast<double>(pixels) / static_cast<double>(total) : 0;
      draw_cell(canvas, {kLeft + static_cast<double>(column) * width, y, width, height}, pixels,
                share);
    }
  }
  draw_scale(canvas, kWidth - kRight + 30, kTop, kHeight - kTop - kBottom);
  canvas.text({kLeft + width * static_cast<double>(k) / 2, kHeight - 18},
              "per cent of the true class's pixels",
              {.height = 12, .color = kPale, .align = Align::center});
  write_png(path, canvas.image());
}

}  // namespace fjord
