// A picture to draw charts on: drawn at twice its size by OpenCV, then reduced, so that lines and
// letters have smooth edges.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "data/image.h"

namespace fjord {

struct Color {
  std::uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Color&) const = default;
};

/// Distinct colours of classes and curves; class 0 (background) is grey.
Color curve_color(std::size_t index);
Color class_color(std::size_t index);
/// a towards b by share (0..1).
Color mix(Color a, Color b, double share);

inline constexpr Color kInk{40, 44, 52}, kPale{120, 126, 136}, kGrid{228, 231, 236},
    kPaper{255, 255, 255};

enum class Align : std::uint8_t { left, center, right };

struct TextStyle {
  double height = 12;  // of a capital letter's line, in pixels
  Color color = kInk;
  Align align = Align::left;
  bool bold = false, upwards = false;  // upwards: turned by 90 degrees, read from below
};

/// Coordinates are pixels of the finished picture, y down.
class Canvas {
 public:
  Canvas(int width, int height, Color background = kPaper);

  int width() const { return width_; }
  int height() const { return height_; }
  void line(cv::Point2d a, cv::Point2d b, Color color, double thickness = 1);
  void polyline(const std::vector<cv::Point2d>& points, Color color, double thickness);
  void dot(cv::Point2d center, double radius, Color color);
  void fill(cv::Rect2d area, Color color);
  void frame(cv::Rect2d area, Color color, double thickness = 1);
  /// The text's middle line is at y. Bytes that the font lacks become '?'.
  void text(cv::Point2d at, const std::string& text, TextStyle style = {});
  static double text_width(const std::string& text, const TextStyle& style = {});
  /// Pixels of an RGB picture of that size, from the upper left corner.
  void paste(cv::Point2d at, const cv::Mat& rgb);

  /// The finished picture, RGB.
  Image image() const;

 private:
  int width_, height_;
  cv::Mat pixels_;  // RGB at kScale times the size
};

}  // namespace fjord
