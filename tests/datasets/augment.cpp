// Augmentation: against naive double loops, against OpenCV, and against the recipe step by step.
#include "kernels/augment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <opencv2/imgproc.hpp>
#include <random>
#include <set>
#include <vector>

#include "tests/reference/reference.h"

namespace fjord {

namespace {

struct Case {
  Shape in, out;
  std::vector<AugmentSample> samples;
  float range = 255;
};

template <class T>
std::vector<T> random_pixels(std::int64_t count, double top) {
  std::mt19937 random(7);
  std::vector<T> pixels;
  for (std::int64_t i = 0; i < count; ++i)
    pixels.push_back(static_cast<T>(top * static_cast<double>(random()) / 4294967296.0));
  return pixels;
}

template <class T>
Buffer buffer(Shape shape, DType type, std::vector<T>& values) {
  return {"", shape, type, values.data()};
}

template <class Real>
std::vector<Real> run_image(Backend backend, const Case& c, DType type, void* pixels) {
  std::vector<AugmentSample> samples = c.samples;
  std::vector<Real> scale(static_cast<std::size_t>(c.in.c)), offset = scale;
  for (std::size_t k = 0; k < scale.size(); ++k) {
    scale[k] = static_cast<Real>((0.25 + 0.125 * static_cast<double>(k)) / c.range);
    offset[k] = static_cast<Real>(-0.5 + 0.25 * static_cast<double>(k));
  }
  std::vector<Real> y(static_cast<std::size_t>(c.out.count()), static_cast<Real>(-99));
  const DType real = size_of(DType::f32) == sizeof(Real) ? DType::f32 : DType::f64;
  const Buffer x{"", c.in, type, pixels};
  const Buffer s = buffer({1, 1, 1, static_cast<std::int64_t>(samples.size() * sizeof samples[0])},
                          DType::u8, samples);
  const Buffer scales = buffer({1, 1, 1, c.in.c}, real, scale);
  const Buffer offsets = buffer({1, 1, 1, c.in.c}, real, offset);
  Buffer out = buffer(c.out, real, y);
  Stream stream{.backend = backend};
  augment_image({&x}, {&s}, {&scales}, {&offsets}, {&out}, {.range = c.range}, stream);
  return y;
}

std::vector<AugmentSample> drawn(std::int64_t count, const AugmentFrame& frame) {
  std::vector<AugmentSample> samples;
  for (std::int64_t i = 0; i < count; ++i)
    samples.push_back(draw_augmentation({42}, 3, static_cast<std::uint32_t>(i), frame));
  return samples;
}

// Values lie in [-1, 1]; interpolation and colour take about ten float operations of 6e-8 each,
// and hue divides by a chroma that can be a few hundredths.
constexpr double kTolerance = 2e-5;

template <class T>
void compare(Case c, DType type, double top) {
  std::vector<T> pixels = random_pixels<T>(c.in.count(), top);
  const std::vector<float> fast = run_image<float>(Backend::cpu, c, type, pixels.data());
  std::vector<double> slow;
  if (type == DType::f32) {
    std::vector<double> exact(pixels.begin(), pixels.end());
    slow = run_image<double>(Backend::reference, c, DType::f64, exact.data());
  } else {
    slow = run_image<double>(Backend::reference, c, type, pixels.data());
  }
  double worst = 0;
  for (std::size_t i = 0; i < fast.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(fast[i]) - slow[i]));
  CAPTURE(to_string(c.in));
  CHECK(worst < kTolerance);
}

void start() {
  enable_cpu_augment();
  reference::fill_augment();
}

}  // namespace

TEST_CASE("augmentation agrees with naive loops in double") {
  start();
  for (const auto& [h, w] : {std::pair{33, 33}, {20, 31}, {1, 1}, {1, 7}, {64, 48}})
    for (const std::int64_t channels : {1, 3, 4}) {
      const AugmentFrame frame{.height = h,
                               .width = w,
                               .source_height = h,
                               .source_width = w,
                               .policy = AugmentPolicy::standard,
                               .rgb = channels == 3};
      const std::int64_t n = 12;
      Case c{{n, h, w, channels}, {n, h, w, channels}, drawn(n, frame)};
      compare<std::uint8_t>(c, DType::u8, 256);
      c.range = 65535;
      compare<std::uint16_t>(c, DType::u16, 65536);
      c.range = 1;
      compare<float>(c, DType::f32, 1);
    }
}

TEST_CASE("crops read the source beyond the window") {
  start();
  const AugmentFrame frame{.height = 16,
                           .width = 24,
                           .source_height = 40,
                           .source_width = 50,
                           .policy = AugmentPolicy::standard,
                           .random_crop = true};
  compare<std::uint8_t>({{8, 40, 50, 3}, {8, 16, 24, 3}, drawn(8, frame)}, DType::u8, 256);
}

TEST_CASE("no augmentation is the plain normalised image, to the bit") {
  start();
  Case c{{2, 9, 13, 3}, {2, 9, 13, 3}, {AugmentSample{}, AugmentSample{}}};
  std::vector<std::uint8_t> pixels = random_pixels<std::uint8_t>(c.in.count(), 256);
  const std::vector<float> y = run_image<float>(Backend::cpu, c, DType::u8, pixels.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto k = static_cast<double>(i % 3);
    const auto scale = static_cast<float>((0.25 + 0.125 * k) / 255);
    const auto offset = static_cast<float>(-0.5 + 0.25 * k);
    REQUIRE(y[i] == static_cast<float>(pixels[i]) * scale + offset);
  }
}

TEST_CASE("labels: nearest as in double, and what lies outside") {
  start();
  for (const std::uint8_t outside : {0, 255})
    for (const auto& [h, w] : {std::pair{33, 33}, {20, 31}, {1, 1}}) {
      const AugmentFrame frame{.height = h,
                               .width = w,
                               .source_height = h,
                               .source_width = w,
                               .policy = AugmentPolicy::standard};
      std::vector<AugmentSample> samples = drawn(16, frame);
      const Shape shape{16, h, w, 1};
      std::vector<std::uint8_t> label = random_pixels<std::uint8_t>(shape.count(), 6);
      std::vector<std::uint8_t> fast(label.size()), slow(label.size());
      const Buffer x = buffer(shape, DType::u8, label);
      const Buffer s = buffer({1, 1, 1, 16 * sizeof(AugmentSample)}, DType::u8, samples);
      Buffer a = buffer(shape, DType::u8, fast), b = buffer(shape, DType::u8, slow);
      Stream cpu, reference{.backend = Backend::reference};
      augment_label({&x}, {&s}, {&a}, {.outside = outside}, cpu);
      augment_label({&x}, {&s}, {&b}, {.outside = outside}, reference);
      CHECK(fast == slow);
      if (h == 33)
        CHECK(std::count(fast.begin(), fast.end(), outside) >
              (outside ? 0 : std::count(label.begin(), label.end(), 0)));
    }
}

TEST_CASE("colour is OpenCV's on floats") {
  cv::Mat image(64, 64, CV_32FC3);
  cv::theRNG().state = 5;
  cv::randu(image, 0.0, 1.0);
  image.at<cv::Vec3f>(0, 0) = {0, 0, 0};
  image.at<cv::Vec3f>(0, 1) = {0.5f, 0.5f, 0.5f};
  image.at<cv::Vec3f>(0, 2) = {1, 1, 1};
  for (const HsvShift shift : {HsvShift{}, HsvShift{60, 0, 0}, HsvShift{-60, 0.02f, -0.06f},
                               HsvShift{-34, -0.019f, 0.05f}}) {
    cv::Mat hsv, expected;
    cv::cvtColor(image, hsv, cv::COLOR_RGB2HSV);
    hsv.forEach<cv::Vec3f>([&](cv::Vec3f& p, const int*) {
      p[0] = std::fmod(p[0] + shift.hue + 360, 360.0f);
      p[1] = std::clamp(p[1] + shift.saturation, 0.0f, 1.0f);
      p[2] = std::clamp(p[2] + shift.value, 0.0f, 1.0f);
    });
    cv::cvtColor(hsv, expected, cv::COLOR_HSV2RGB);
    double worst = 0;
    for (int y = 0; y < image.rows; ++y)
      for (int x = 0; x < image.cols; ++x) {
        cv::Vec3f p = image.at<cv::Vec3f>(y, x);
        augment::shift_hsv(p[0], p[1], p[2], shift);
        worst = std::max(worst, cv::norm(p - expected.at<cv::Vec3f>(y, x), cv::NORM_INF));
      }
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("geometry is OpenCV's warpAffine inside, flips and turns included") {
  start();
  const int n = 64;
  // Gentle, since OpenCV rounds positions to 1/32 pixel: half of that along x and along y times
  // the slope is the error to expect.
  cv::Mat image(n, n, CV_32FC1);
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x)
      image.at<float>(y, x) =
          static_cast<float>(0.5 + 0.25 * std::sin(0.11 * x) * std::cos(0.07 * y));
  const double slope = 0.25 * 0.11 + 0.25 * 0.07, allowed = slope / 64 + 2e-3 * slope + 1e-5;
  const AugmentFrame frame{.height = n,
                           .width = n,
                           .source_height = n,
                           .source_width = n,
                           .policy = AugmentPolicy::standard,
                           .rgb = false};
  for (const AugmentSample& sample : drawn(24, frame)) {
    const auto real = [](std::int64_t fixed) { return static_cast<double>(fixed) / 4294967296.0; };
    const PixelMap& m = sample.map;
    const cv::Matx23d inverse(real(m.xx), real(m.xy), real(m.x0), real(m.yx), real(m.yy),
                              real(m.y0));
    cv::Mat expected;
    cv::warpAffine(image, expected, inverse, image.size(), cv::INTER_LINEAR | cv::WARP_INVERSE_MAP);
    Case c{{1, n, n, 1}, {1, n, n, 1}, {sample}, 1};
    const std::vector<float> y = run_image<float>(Backend::cpu, c, DType::f32, image.data);
    double worst = 0;
    int interior = 0;
    for (int row = 0; row < n; ++row)
      for (int column = 0; column < n; ++column) {
        const double sx = real(m.xx) * column + real(m.xy) * row + real(m.x0);
        const double sy = real(m.yx) * column + real(m.yy) * row + real(m.y0);
        if (sx < 1 || sy < 1 || sx > n - 2 || sy > n - 2) continue;
        ++interior;
        const double value = (y[static_cast<std::size_t>(row * n + column)] + 0.5) / 0.25;
        worst =
            std::max(worst, std::abs(value - static_cast<double>(expected.at<float>(row, column))));
      }
    CHECK(interior > n * n / 2);
    CHECK(worst < allowed);
  }
}

TEST_CASE("the drawn map is the recipe, one step after the other") {
  const std::int64_t h = 40, w = 40;
  int turned = 0, scaled = 0, colored = 0;
  std::set<float> hues;
  for (std::uint32_t index = 0; index < 200; ++index) {
    const AugmentSample sample = draw_augmentation({9}, 1, index,
                                                   {.height = h,
                                                    .width = w,
                                                    .source_height = h,
                                                    .source_width = w,
                                                    .policy = AugmentPolicy::standard});
    const auto word = [&](std::uint32_t block, int i) {
      return Philox{9}.draw(Draw::augment, 1, index, block)[i] / 4294967296.0;
    };
    const bool geometry = word(0, 1) < 0.5, turn = word(1, 0) < 0.5;
    turned += turn, scaled += geometry, colored += sample.shift_color;
    CHECK(sample.shift_color == (word(0, 0) < 0.5 ? 1 : 0));
    if (sample.shift_color) hues.insert(sample.color.hue);
    CHECK(std::abs(sample.color.hue) <= 60);
    CHECK(std::abs(sample.color.saturation) <= 5.0f / 255);
    CHECK(std::abs(sample.color.value) <= 15.0f / 255);
    const double scale = 0.9 + 0.2 * word(2, 0), aspect = 0.9 + 0.2 * word(2, 1);
    const double sx = geometry ? scale * std::sqrt(aspect) : 1;
    const double sy = geometry ? scale / std::sqrt(aspect) : 1;
    const double dx = geometry ? std::round((-0.1 + 0.2 * word(2, 2)) * w) : 0;
    const double dy = geometry ? std::round((-0.1 + 0.2 * word(2, 3)) * h) : 0;
    for (const auto& [x0, y0] : {std::pair{0.0, 0.0}, {3.0, 17.0}, {39.0, 39.0}}) {
      // Forward: where source pixel (x0, y0) lands, as the recipe says.
      double x = sx * (x0 - w / 2.0) + w / 2.0 + dx, y = sy * (y0 - h / 2.0) + h / 2.0 + dy;
      if (word(0, 2) < 0.5) x = w - 1 - x;
      if (word(0, 3) < 0.5) y = h - 1 - y;
      if (turn) {  // counter-clockwise: the right column becomes the top row
        const double column = x;
        x = y, y = w - 1 - column;
      }
      const auto back = [&](std::int64_t a, std::int64_t b, std::int64_t c) {
        return (static_cast<double>(a) * x + static_cast<double>(b) * y + static_cast<double>(c)) /
               4294967296.0;
      };
      CHECK(back(sample.map.xx, sample.map.xy, sample.map.x0) == doctest::Approx(x0).epsilon(1e-7));
      CHECK(back(sample.map.yx, sample.map.yy, sample.map.y0) == doctest::Approx(y0).epsilon(1e-7));
    }
  }
  for (const int count : {turned, scaled, colored}) CHECK(std::abs(count - 100) < 30);
  CHECK(hues.size() > 30);
  for (const float hue : hues) CHECK(std::fmod(hue, 2.0f) == 0);
}

TEST_CASE("sizes that are not square turn by 180 degrees alone") {
  for (std::uint32_t index = 0; index < 64; ++index) {
    const AugmentSample sample = draw_augmentation({1}, 0, index,
                                                   {.height = 8,
                                                    .width = 12,
                                                    .source_height = 8,
                                                    .source_width = 12,
                                                    .policy = AugmentPolicy::standard});
    CHECK(sample.map.xy == 0);
    CHECK(sample.map.yx == 0);
  }
}

}  // namespace fjord
