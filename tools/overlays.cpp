// Pictures of predictions.
#include "tools/overlays.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <opencv2/imgproc.hpp>

#include "tools/axes.h"

namespace fjord {

namespace {

constexpr Color kHit{46, 160, 90}, kFalseAlarm{220, 60, 50}, kMissed{50, 110, 225};

cv::Mat mat_of(const Image& image) {
  cv::Mat mat(image.height, image.width, CV_8UC3);
  std::memcpy(mat.data, image.pixels.data(), image.pixels.size());
  return mat;
}

cv::Vec3b pixel(Color color) { return {color.r, color.g, color.b}; }

void tint(cv::Vec3b& at, Color color, double share) {
  const Color mixed = mix({at[0], at[1], at[2]}, color, share);
  at = pixel(mixed);
}

// Tints every class but the background and draws its outlines.
cv::Mat with_classes(const cv::Mat& image, std::span<const std::uint8_t> classes, int thickness) {
  cv::Mat drawn = image.clone();
  std::vector<bool> present(256);
  for (int y = 0; y < drawn.rows; ++y)
    for (int x = 0; x < drawn.cols; ++x) {
      const std::uint8_t c = classes[static_cast<std::size_t>(y) * drawn.cols + x];
      present[c] = true;
      if (c == 255) tint(drawn.at<cv::Vec3b>(y, x), {0, 0, 0}, 0.5);
      if (c != 0 && c != 255) tint(drawn.at<cv::Vec3b>(y, x), class_color(c), 0.38);
    }
  const cv::Mat ids(drawn.rows, drawn.cols, CV_8U, const_cast<std::uint8_t*>(classes.data()));
  for (int c = 1; c < 255; ++c) {
    if (!present[static_cast<std::size_t>(c)]) continue;
    std::vector<std::vector<cv::Point>> outlines;
    cv::findContours(ids == c, outlines, cv::RETR_LIST, cv::CHAIN_APPROX_NONE);
    const Color color = class_color(static_cast<std::size_t>(c));
    cv::drawContours(drawn, outlines, -1, cv::Scalar(color.r, color.g, color.b), thickness,
                     cv::LINE_8);
  }
  return drawn;
}

cv::Mat with_errors(const cv::Mat& image, const OverlaySample& sample, bool binary) {
  cv::Mat gray, drawn;
  cv::cvtColor(image, gray, cv::COLOR_RGB2GRAY);
  cv::cvtColor(gray, drawn, cv::COLOR_GRAY2RGB);
  for (int y = 0; y < drawn.rows; ++y)
    for (int x = 0; x < drawn.cols; ++x) {
      const std::size_t i = static_cast<std::size_t>(y) * drawn.cols + x;
      const std::uint8_t truth = sample.label[i], found = sample.prediction[i];
      cv::Vec3b& at = drawn.at<cv::Vec3b>(y, x);
      if (truth == 255)
        tint(at, {0, 0, 0}, 0.5);
      else if (truth == found)
        tint(at, binary && truth ? kHit : kPaper, binary && truth ? 0.55 : 0.35);
      else
        tint(at, binary && truth ? kMissed : kFalseAlarm, 0.75);
    }
  return drawn;
}

// Every pixel as scale x scale pixels, so that outlines are finer than pixels.
OverlaySample enlarged(const OverlaySample& sample, int scale) {
  OverlaySample large{
      make_image(sample.image.height * scale, sample.image.width * scale, 3), {}, {}, {}};
  const int width = large.image.width;
  const auto from = sample.image.as<std::uint8_t>();
  auto to = large.image.as<std::uint8_t>();
  for (int y = 0; y < large.image.height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::size_t i =
          static_cast<std::size_t>(y / scale) * static_cast<std::size_t>(sample.image.width) +
          static_cast<std::size_t>(x / scale);
      const std::size_t j = static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                            static_cast<std::size_t>(x);
      for (std::size_t c = 0; c < 3; ++c) to[3 * j + c] = from[3 * i + c];
      large.label.push_back(sample.label[i]);
      large.prediction.push_back(sample.prediction[i]);
    }
  return large;
}

struct Share {
  std::string name;
  Color color;
};

double legend_width(const std::vector<Share>& entries) {
  double width = 0;
  for (const Share& entry : entries)
    width += 18 + Canvas::text_width(entry.name, {.height = 12}) + 22;
  return width - 22;
}

// Entries that would pass `limit` are left out.
void draw_legend(Canvas& canvas, double x, double y, double limit,
                 const std::vector<Share>& entries) {
  for (const Share& entry : entries) {
    const double width = Canvas::text_width(entry.name, {.height = 12});
    if (x + 18 + width > limit) return;
    canvas.fill({x, y - 6, 12, 12}, entry.color);
    canvas.text({x + 18, y}, entry.name, {.height = 12});
    x += 18 + width + 22;
  }
}

std::vector<Share> error_legend(const OverlaySample& sample, bool binary) {
  std::int64_t hit = 0, alarm = 0, missed = 0, wrong = 0, counted = 0;
  for (std::size_t i = 0; i < sample.label.size(); ++i) {
    const bool truth = sample.label[i] != 0, found = sample.prediction[i] != 0;
    if (sample.label[i] == 255) continue;
    ++counted;
    wrong += sample.label[i] != sample.prediction[i];
    hit += truth && found;
    alarm += !truth && found;
    missed += truth && !found;
  }
  if (!binary)
    return {{fmt::format("wrong {:.1f} %", counted ? 100.0 * double(wrong) / double(counted) : 0),
             kFalseAlarm}};
  const std::int64_t all = hit + alarm + missed;
  const std::string iou = all ? fmt::format("{:.3f}", double(hit) / double(all)) : "n/a";
  return {
      {"found", kHit}, {"false alarm", kFalseAlarm}, {"missed", kMissed}, {"IoU " + iou, kPaper}};
}

// The value below which `share` of the values lie.
float percentile(std::vector<float> values, double share) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

Image display_image(std::span<const float> values, int height, int width, int bands) {
  Image picture = make_image(height, width, 3);
  auto pixels = picture.as<std::uint8_t>();
  for (int channel = 0; channel < 3; ++channel) {
    const int band = bands >= 3 ? channel : 0;
    std::vector<float> plane;
    for (std::size_t i = static_cast<std::size_t>(band); i < values.size();
         i += static_cast<std::size_t>(bands))
      plane.push_back(std::isfinite(values[i]) ? values[i] : 0);
    const float low = percentile(plane, 0.01), high = percentile(plane, 0.99);
    const float scale = high > low ? 255.0f / (high - low) : 0;
    for (std::size_t i = 0; i < plane.size(); ++i)
      pixels[3 * i + static_cast<std::size_t>(channel)] =
          static_cast<std::uint8_t>(std::lround(std::clamp((plane[i] - low) * scale, 0.f, 255.f)));
  }
  return picture;
}

Image display_image(const Image& image) {
  if (image.dtype == DType::u8 && image.bands == 3) return image;
  std::vector<float> values(static_cast<std::size_t>(image.count()));
  std::size_t i = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      for (int band = 0; band < image.bands; ++band)
        values[i++] = static_cast<float>(image.value(y, x, band));
  return display_image(values, image.height, image.width, image.bands);
}

Image overlay_sheet(const OverlaySample& sample, const std::vector<std::string>& classes) {
  const int scale = std::max(1, 300 / std::max(sample.image.width, sample.image.height));
  const int width = sample.image.width * scale, height = sample.image.height * scale;
  constexpr int gap = 14, top = 60, bottom = 40;
  Canvas canvas(4 * width + 5 * gap, top + height + bottom);
  const OverlaySample large = enlarged(sample, scale);
  const cv::Mat image = mat_of(large.image);
  const bool binary = classes.size() <= 2;
  const std::vector<cv::Mat> panels = {image, with_classes(image, large.label, 2),
                                       with_classes(image, large.prediction, 2),
                                       with_errors(image, large, binary)};
  const std::vector<std::string> names = {"image", "label", "prediction", "errors"};
  canvas.text({gap, 20}, fitted(sample.title, canvas.width() - 2.0 * gap, {.height = 15}),
              {.height = 15, .bold = true});
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const double x = gap + static_cast<double>(i) * (width + gap);
    canvas.text({x, 46}, names[i], {.height = 13, .color = kPale});
    canvas.paste({x, double(top)}, panels[i]);
  }
  std::vector<Share> entries;
  for (std::size_t c = 1; c < classes.size(); ++c) entries.push_back({classes[c], class_color(c)});
  const double y = top + height + bottom / 2.0;
  const std::vector<Share> errors = error_legend(sample, binary);
  const double right = canvas.width() - gap, begin = right - legend_width(errors);
  draw_legend(canvas, begin, y, right + 1, errors);
  draw_legend(canvas, gap, y, begin - gap, entries);
  return canvas.image();
}

Image prediction_overlay(const Image& image, std::span<const std::uint8_t> prediction) {
  const Image base = display_image(image);
  const int thickness = std::max(1, std::max(base.width, base.height) / 600);
  const cv::Mat drawn = with_classes(mat_of(base), prediction, thickness);
  Image picture = make_image(base.height, base.width, 3);
  std::memcpy(picture.pixels.data(), drawn.data, picture.pixels.size());
  return picture;
}

}  // namespace fjord
