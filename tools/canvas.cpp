// Drawing through OpenCV's imgproc.
#include "tools/canvas.h"

#include <cmath>
#include <cstring>
#include <opencv2/imgproc.hpp>

namespace fjord {

namespace {

constexpr int kScale = 2;
constexpr int kShift = 4;  // OpenCV's fixed-point coordinates: sixteenths of a pixel
constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontHeight = 22;  // of the font's capitals at scale 1

cv::Scalar scalar(Color color) {
  return cv::Scalar(double(color.r), double(color.g), double(color.b));
}
cv::Point fixed(cv::Point2d point) {
  return {static_cast<int>(std::lround(point.x * kScale * (1 << kShift))),
          static_cast<int>(std::lround(point.y * kScale * (1 << kShift)))};
}
int scaled_thickness(double thickness) {
  return std::max(1, static_cast<int>(std::lround(thickness * kScale)));
}
double font_scale(const TextStyle& style) { return style.height * kScale / kFontHeight * 0.82; }
int font_thickness(const TextStyle& style) { return style.bold || style.height > 15 ? 3 : 2; }

std::string ascii(const std::string& text) {
  std::string line;
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80)  // one sign for each UTF-8 sequence
      line +=
          static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F ? c : '?';
  return line;
}

cv::Rect pixels_of(cv::Rect2d area) {
  const cv::Point a(static_cast<int>(std::lround(area.x * kScale)),
                    static_cast<int>(std::lround(area.y * kScale)));
  const cv::Point b(static_cast<int>(std::lround((area.x + area.width) * kScale)),
                    static_cast<int>(std::lround((area.y + area.height) * kScale)));
  return {a, b};
}

}  // namespace

Color curve_color(std::size_t index) {
  static const std::vector<Color> colors = {{31, 97, 181},   {222, 110, 34}, {38, 145, 90},
                                            {196, 50, 62},   {125, 85, 180}, {130, 88, 70},
                                            {214, 100, 170}, {20, 160, 175}};
  return colors[index % colors.size()];
}

Color class_color(std::size_t index) {
  static const std::vector<Color> colors = {{130, 136, 146}, {230, 85, 60},   {70, 130, 230},
                                            {235, 185, 60},  {60, 165, 90},   {60, 190, 205},
                                            {165, 95, 200},  {240, 130, 180}, {150, 110, 70},
                                            {170, 205, 80},  {95, 95, 215},   {215, 215, 120}};
  return colors[index < colors.size() ? index : 1 + (index - 1) % (colors.size() - 1)];
}

Color mix(Color a, Color b, double share) {
  auto blend = [share](std::uint8_t from, std::uint8_t to) {
    return static_cast<std::uint8_t>(std::lround(from + (to - from) * share));
  };
  return {blend(a.r, b.r), blend(a.g, b.g), blend(a.b, b.b)};
}

Canvas::Canvas(int width, int height, Color background)
    : width_(width),
      height_(height),
      pixels_(height * kScale, width * kScale, CV_8UC3, scalar(background)) {}

void Canvas::line(cv::Point2d a, cv::Point2d b, Color color, double thickness) {
  cv::line(pixels_, fixed(a), fixed(b), scalar(color), scaled_thickness(thickness), cv::LINE_AA,
           kShift);
}

void Canvas::polyline(const std::vector<cv::Point2d>& points, Color color, double thickness) {
  std::vector<cv::Point> list;
  for (const cv::Point2d& point : points) list.push_back(fixed(point));
  cv::polylines(pixels_, list, false, scalar(color), scaled_thickness(thickness), cv::LINE_AA,
                kShift);
}

void Canvas::dot(cv::Point2d center, double radius, Color color) {
  cv::circle(pixels_, fixed(center), static_cast<int>(std::lround(radius * kScale * (1 << kShift))),
             scalar(color), cv::FILLED, cv::LINE_AA, kShift);
}

void Canvas::fill(cv::Rect2d area, Color color) {
  const cv::Rect rect = pixels_of(area) & cv::Rect({0, 0}, pixels_.size());
  if (!rect.empty()) pixels_(rect).setTo(scalar(color));
}

void Canvas::frame(cv::Rect2d area, Color color, double thickness) {
  cv::rectangle(pixels_, pixels_of(area), scalar(color), scaled_thickness(thickness));
}

double Canvas::text_width(const std::string& text, const TextStyle& style) {
  int baseline = 0;
  return cv::getTextSize(ascii(text), kFont, font_scale(style), font_thickness(style), &baseline)
             .width /
         double{kScale};
}

void Canvas::text(cv::Point2d at, const std::string& text, TextStyle style) {
  if (style.upwards) {
    // Drawn level on a canvas of its own, turned, and laid over.
    style.upwards = false;
    style.align = Align::left;
    const int length = static_cast<int>(std::ceil(text_width(text, style))) + 4;
    const int height = static_cast<int>(std::ceil(style.height * 2));
    Canvas level(length, height);
    level.text({2, height / 2.0}, text, style);
    cv::Mat turned;
    cv::rotate(level.pixels_, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
    const cv::Rect place(static_cast<int>((at.x - height / 2.0) * kScale),
                         static_cast<int>((at.y - length / 2.0) * kScale), turned.cols,
                         turned.rows);
    const cv::Rect inside = place & cv::Rect({0, 0}, pixels_.size());
    if (!inside.empty()) turned(inside - place.tl()).copyTo(pixels_(inside));
    return;
  }
  const double width = text_width(text, style);
  const double left = style.align == Align::left     ? at.x
                      : style.align == Align::center ? at.x - width / 2
                                                     : at.x - width;
  const double below = at.y + font_scale(style) * kFontHeight / kScale / 2;
  cv::putText(
      pixels_, ascii(text),
      {static_cast<int>(std::lround(left * kScale)), static_cast<int>(std::lround(below * kScale))},
      kFont, font_scale(style), scalar(style.color), font_thickness(style), cv::LINE_AA);
}

void Canvas::paste(cv::Point2d at, const cv::Mat& rgb) {
  cv::Mat large;
  cv::resize(rgb, large, {}, kScale, kScale, cv::INTER_NEAREST);
  const cv::Rect place(
      {static_cast<int>(std::lround(at.x * kScale)), static_cast<int>(std::lround(at.y * kScale))},
      large.size());
  const cv::Rect inside = place & cv::Rect({0, 0}, pixels_.size());
  if (!inside.empty()) large(inside - place.tl()).copyTo(pixels_(inside));
}

Image Canvas::image() const {
  cv::Mat small;
  cv::resize(pixels_, small, {width_, height_}, 0, 0, cv::INTER_AREA);
  Image picture = make_image(height_, width_, 3);
  std::memcpy(picture.pixels.data(), small.data, picture.pixels.size());
  return picture;
}

}  // namespace fjord
