// The axes of a chart.
#include "tools/axes.h"

#include <algorithm>
#include <cmath>

#include "tools/plots.h"

namespace fjord {

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(high > low)) high = low + std::max(std::abs(low) * 0.1, 1e-6);
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
    step = factor * power;
    if (step >= rough * 0.999) break;
  }
  std::vector<double> ticks;
  const auto first = static_cast<std::int64_t>(std::floor(low / step + 1e-9));
  const auto last = static_cast<std::int64_t>(std::ceil(high / step - 1e-9));
  for (std::int64_t i = first; i <= last; ++i) ticks.push_back(static_cast<double>(i) * step);
  return ticks;
}

void Axes::set_range(double x_from, double x_to, double y_from, double y_to) {
  x_low = x_from, x_high = x_to > x_from ? x_to : x_from + 1;
  for (const double tick : nice_ticks(x_low, x_high, 8))
    if (tick >= x_low - 1e-9 * (x_high - x_low) && tick <= x_high * (1 + 1e-9))
      x_ticks.push_back(tick);
  if (logarithmic) {
    for (double tick = std::pow(10, std::floor(std::log10(y_from))); tick < y_to * 10; tick *= 10)
      y_ticks.push_back(tick);
  } else {
    y_ticks = nice_ticks(y_from, y_to, 6);
  }
  y_low = y_ticks.front(), y_high = y_ticks.back();
}

cv::Point2d Axes::at(double x, double y) const {
  const double across = (x - x_low) / (x_high - x_low);
  const double up = logarithmic ? (std::log10(std::max(y, y_low)) - std::log10(y_low)) /
                                      (std::log10(y_high) - std::log10(y_low))
                                : (y - y_low) / (y_high - y_low);
  return {area.x + across * area.width, area.y + area.height * (1 - std::clamp(up, 0.0, 1.0))};
}

void Axes::draw(Canvas& canvas, const AxesText& text, Parts parts) const {
  const double bottom = area.y + area.height;
  for (const double tick : y_ticks) {
    const double y = at(x_low, tick).y;
    canvas.line({area.x, y}, {area.x + area.width, y}, kGrid);
    canvas.text({area.x - 10, y}, fmt::format("{:.6g}", tick),
                {.height = 13, .color = kPale, .align = Align::right});
  }
  if (parts.x_ticks)
    for (const double tick : x_ticks) {
      const double x = at(tick, y_low).x;
      canvas.line({x, bottom}, {x, bottom + 5}, kPale);
      canvas.text({x, bottom + 18}, fmt::format("{:.6g}", tick),
                  {.height = 13, .color = kPale, .align = Align::center});
    }
  canvas.line({area.x, bottom}, {area.x + area.width, bottom}, kPale);
  canvas.text({area.x, 26}, text.title, {.height = 18, .bold = true});
  canvas.text({area.x + area.width / 2, bottom + 46}, text.x,
              {.height = 14, .align = Align::center});
  canvas.text({22, area.y + area.height / 2}, text.y, {.height = 14, .upwards = true});
}

std::string fitted(const std::string& text, double width, const TextStyle& style) {
  if (Canvas::text_width(text, style) <= width) return text;
  std::string shorter = text;
  while (!shorter.empty() && Canvas::text_width(shorter + "..", style) > width) shorter.pop_back();
  return shorter + "..";
}

}  // namespace fjord
