// The axes of a chart: from values to pixels, with round ticks, grid, labels and title.
#pragma once

#include <fmt/format.h>

#include "tools/canvas.h"

namespace fjord {

struct AxesText {
  std::string title, x, y;
};

struct Axes {
  cv::Rect2d area;           // of the plot itself, in pixels
  bool logarithmic = false;  // y
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  std::vector<double> x_ticks, y_ticks;

  /// Chooses ticks and widens y to the outermost of them.
  void set_range(double x_from, double x_to, double y_from, double y_to);
  cv::Point2d at(double x, double y) const;
  struct Parts {
    bool x_ticks = true;
  };
  void draw(Canvas& canvas, const AxesText& text, Parts parts = {true}) const;
};

/// The text, or its start and "..." where it is wider than `width` pixels.
std::string fitted(const std::string& text, double width, const TextStyle& style);

}  // namespace fjord
