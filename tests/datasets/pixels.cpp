// Resizing against OpenCV and by hand; normalisation; statistics; nodata.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "data/normalize.h"
#include "data/resize.h"
#include "data/sample.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

Image random_image(int height, int width, int bands) {
  return image_of(height, width, bands, [](int i) { return (i * 2654435761u) >> 24; });
}

Image to_float(const Image& image) {
  Image result = make_image(image.height, image.width, image.bands, DType::f32);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    result.as<float>()[i] = static_cast<float>(image.as<std::uint8_t>()[i]);
  return result;
}

double worst_difference(const Image& image, const cv::Mat& expected) {
  double worst = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      for (int c = 0; c < image.bands; ++c)
        worst = std::max(
            worst, std::abs(image.value(y, x, c) -
                            static_cast<double>(expected.ptr<float>(y)[x * image.bands + c])));
  return worst;
}

std::vector<Sample> three_images(const Folder& folder, int bands) {
  std::vector<Sample> samples;
  for (const int i : {0, 1, 2}) {
    const auto path = folder / fmt::format("{}.tif", i);
    write_image(path, image_of(5 + i, 4, bands, [&](int k) { return (k * 13 + i * 50) % 256; }));
    samples.push_back({std::to_string(i), path, path});
  }
  return samples;
}

}  // namespace

TEST_CASE("linear and area resizing are OpenCV's on floats") {
  const Image image = to_float(random_image(37, 52, 3));
  const cv::Mat mat(37, 52, CV_32FC3, const_cast<std::byte*>(image.pixels.data()));
  cv::Mat expected;
  for (const auto& [h, w] : {std::pair{80, 90}, {37, 60}, {20, 21}, {1, 1}, {36, 53}}) {
    cv::resize(mat, expected, {w, h}, 0, 0, cv::INTER_LINEAR);
    // OpenCV keeps positions in float: 1e-5 of a pixel at 90, times values of 255.
    CHECK(worst_difference(resize_image(image, h, w, Resampling::linear), expected) < 5e-3);
  }
  for (const auto& [h, w] : {std::pair{20, 21}, {1, 1}, {37, 26}, {12, 52}}) {
    cv::resize(mat, expected, {w, h}, 0, 0, cv::INTER_AREA);
    CHECK(worst_difference(resize_image(image, h, w, Resampling::area), expected) < 5e-3);
  }
}

TEST_CASE("integer images round to nearest; 16 bits keep their range") {
  const Image image = random_image(30, 40, 3);
  const Image exact = resize_image(to_float(image), 17, 23, Resampling::area);
  const Image rounded = resize_image(image, 17, 23, Resampling::area);
  for (std::size_t i = 0; i < rounded.pixels.size(); ++i)
    CHECK(std::abs(static_cast<float>(rounded.as<std::uint8_t>()[i]) - exact.as<float>()[i]) <=
          0.5001f);
  Image wide = make_image(4, 4, 1, DType::u16);
  for (auto& v : wide.as<std::uint16_t>()) v = 65535;
  const Image larger = resize_image(wide, 7, 3, Resampling::linear);
  for (const auto v : larger.as<std::uint16_t>()) CHECK(v == 65535);
}

TEST_CASE("nearest is floor(i * in / out), images and labels alike") {
  const Image image = image_of(7, 5, 2, [](int i) { return i; });
  const Image resized = resize_image(image, 16, 3, Resampling::nearest);
  std::vector<std::uint8_t> label(35);
  for (std::size_t i = 0; i < 35; ++i) label[i] = static_cast<std::uint8_t>(i);
  const auto small = resize_label(label, 7, 5, 16, 3);
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 3; ++x) {
      const int source = (y * 7 / 16) * 5 + x * 5 / 3;
      CHECK(small[static_cast<std::size_t>(y * 3 + x)] == source);
      CHECK(resized.value(y, x, 1) == 2 * source + 1);
    }
  CHECK(resize_image(image, 7, 5, Resampling::area).pixels == image.pixels);
}

TEST_CASE("normalisation: each kind's formula, text and back") {
  const auto apply = [](const Normalization& n, std::size_t band, float x) {
    return x * n.scale()[band] + n.offset()[band];
  };
  const auto make = [](const char* kind, int channels, DType type = DType::u8,
                       std::optional<double> range = {}) {
    return make_normalization({kind, range}, channels, type, {}, 1);
  };
  CHECK(apply(make("half", 3), 1, 100) == doctest::Approx(100 / 255.0 * 2 - 1));
  CHECK(apply(make("seed", 3), 0, 100) == doctest::Approx(100 / 255.0 * 3.2 - 1.6));
  CHECK(apply(make("seed", 1, DType::u16), 0, 100) == doctest::Approx(100 / 65535.0 * 3.2 - 1.6));
  CHECK(apply(make("unit", 4, DType::u16, 2047), 3, 1000) == doctest::Approx(1000 / 2047.0));
  CHECK(apply(make("unit", 2, DType::f32), 1, 0.25f) == 0.25f);
  CHECK(apply(make("none", 3), 2, 77) == 77.0f);
  CHECK(apply(make("imagenet", 3), 1, 128) == doctest::Approx((128 / 255.0 - 0.456) / 0.224));
  CHECK(make("", 3).kind == "imagenet");
  for (const char* kind : {"seed", "unit", "none", "imagenet", "half"})
    CHECK(Normalization::parse(make(kind, 3).text()) == make(kind, 3));
  CHECK(make("unit", 1).text() == R"({"kind":"unit","mean":[0.0],"range":255.0,"std":[1.0]})");
}

TEST_CASE("normalisation: messages") {
  const auto said = [](NormalizeOptions options, int channels) {
    return message_of([&] { make_normalization(options, channels, DType::u8, {}, 1); },
                      ExitCode::usage);
  };
  CHECK(said({"imagenet", {}}, 4) ==
        "error[E-normalize] --normalize imagenet - it is for 3 channels, these images have 4 - use "
        "--normalize stats");
  CHECK(said({"zscore", {}}, 3) ==
        "error[E-normalize] --normalize zscore - the kinds are imagenet, half, stats, seed, unit "
        "and none "
        "- use --normalize stats");
  CHECK(said({"unit", 0.0}, 3) ==
        "error[E-range] --range 0 - it is the pixel value that counts as 1, above 0 - use --range "
        "255");
  for (const char* text : {"", "{}", "[1]", R"({"kind":"unit","range":255,"mean":[0],"std":[0]})",
                           R"({"kind":"unit","range":255,"mean":[0,0],"std":[1]})",
                           R"({"kind":"unit","range":"x","mean":[0],"std":[1]})"})
    CHECK(message_of([&] { Normalization::parse(text); }, ExitCode::model_file)
              .starts_with("error[E-normalization] the model's normalisation is unreadable: "));
}

TEST_CASE("statistics of bands: plain sums over all pixels, the same for any thread count") {
  const Folder folder;
  const std::vector<Sample> samples = three_images(folder, 4);
  const BandStatistics stats = band_statistics(samples, 1);
  double sum = 0, squares = 0, n = 0;
  for (const Sample& sample : samples) {
    const Image image = read_image(sample.image);
    for (int y = 0; y < image.height; ++y)
      for (int x = 0; x < image.width; ++x) {
        sum += image.value(y, x, 2), squares += image.value(y, x, 2) * image.value(y, x, 2);
        ++n;
      }
  }
  CHECK(stats.pixels == static_cast<std::int64_t>(n));
  CHECK(stats.mean[2] == doctest::Approx(sum / n).epsilon(1e-12));
  CHECK(stats.std[2] == doctest::Approx(std::sqrt(squares / n - sum * sum / n / n)).epsilon(1e-9));
  for (const int threads : {2, 4}) {
    const BandStatistics again = band_statistics(samples, threads);
    CHECK(again.mean == stats.mean);
    CHECK(again.std == stats.std);
  }
  const Normalization n4 = make_normalization({"", {}}, 4, DType::u8, samples, 2);
  CHECK(n4.kind == "stats");
  CHECK(n4.scale()[2] == doctest::Approx(1 / stats.std[2]));
  CHECK(n4.offset()[2] == doctest::Approx(-stats.mean[2] / stats.std[2]));
  CHECK(Normalization::parse(n4.text()) == n4);
  const auto grey = three_images(folder, 1);
  CHECK(make_normalization({"stats", {}}, 3, DType::u8, grey, 2).mean.size() == 3);
  CHECK(
      message_of(
          [&] {
            make_normalization({"stats", {}}, 4, DType::u8, grey, 2);
          },
          ExitCode::dataset) ==
      "error[E-bands] the training images have 1 bands - the model reads 4 - use --in-channels 1");
}

TEST_CASE("row 34: pixels without data are 0 in the image and ignored in the label") {
  const Folder folder;
  Image image = make_image(2, 3, 2, DType::f32);
  for (auto& v : image.as<float>()) v = 5;
  for (const std::size_t i : {2u, 3u, 8u})
    image.as<float>()[i] = -9999;  // pixel 1; half of pixel 4
  GeoTags geo;
  const std::string text("-9999\0", 6);
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  geo.tags.push_back({.tag = 42113, .type = 2, .count = 6, .bytes = {bytes, bytes + 6}});
  write_tiff(folder / "i.tif", image, &geo);
  write_image(folder / "l.png", image_of(2, 3, 1, [](int) { return 255; }));
  std::vector<std::string> notes;
  const DecodedSample decoded =
      read_sample({"i", folder / "i.tif", folder / "l.png"}, LabelMap::binary(255), {}, 2, notes);
  CHECK(decoded.classes == std::vector<std::uint8_t>{1, kIgnore, 1, 1, 1, 1});
  CHECK(decoded.image.value(0, 1, 0) == 0);
  CHECK(decoded.image.value(1, 1, 0) == -9999);
  CHECK(std::find(notes.begin(), notes.end(),
                  "pixels without data (the file's nodata value): ignored, 0 in the image") !=
        notes.end());
}

TEST_CASE("many threads: the failure of the first sample is the one thrown") {
  for (const int threads : {1, 2, 4})
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::string said;
      try {
        for_each_sample(200, threads, [](std::int64_t i) {
          if (i >= 37 && i % 2 == 1) throw std::runtime_error(std::to_string(i));
        });
      } catch (const std::exception& error) {
        said = error.what();
      }
      CHECK(said == "37");
    }
}

}  // namespace fjord
