// The drawn data set: equal bytes for a seed, labels in range, and no use of a pixel's colour
// alone.
#include "data/synth.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/dataset.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

using Features = std::vector<double>;

// 1, every band, every product of two bands.
Features features_of(const std::uint8_t* pixel, int bands) {
  Features f{1.0};
  for (int i = 0; i < bands; ++i) f.push_back(pixel[i] / 255.0);
  for (int i = 0; i < bands; ++i)
    for (int j = i; j < bands; ++j) f.push_back(pixel[i] / 255.0 * pixel[j] / 255.0);
  return f;
}

double dot(const Features& a, const Features& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Solves A x = b by Gauss elimination with pivots.
Features solve(std::vector<Features> a, Features b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k; i < n; ++i)
      if (std::abs(a[i][k]) > std::abs(a[pivot][k])) pivot = i;
    std::swap(a[k], a[pivot]), std::swap(b[k], b[pivot]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

struct Pixels {
  std::vector<Features> features;
  std::vector<int> building;
};

Pixels pixels_of(const SynthOptions& options, int first, int last, std::size_t every) {
  Pixels pixels;
  for (int index = first; index < last; ++index) {
    const Scene scene = draw_scene(options, index);
    const auto label = scene.label.as<std::uint8_t>();
    for (std::size_t i = 0; i < label.size(); i += every) {
      pixels.features.push_back(features_of(
          scene.image.as<std::uint8_t>().data() + i * static_cast<std::size_t>(options.bands),
          options.bands));
      pixels.building.push_back(label[i] == 255);
    }
  }
  return pixels;
}

// Logistic regression by Newton's method.
Features fit_logistic(const Pixels& pixels) {
  const std::size_t n = pixels.features[0].size();
  Features weights(n, 0.0);
  for (int iteration = 0; iteration < 12; ++iteration) {
    std::vector<Features> hessian(n, Features(n, 0.0));
    Features gradient(n, 0.0);
    for (std::size_t k = 0; k < n; ++k) hessian[k][k] = 1e-3;
    for (std::size_t p = 0; p < pixels.features.size(); ++p) {
      const Features& f = pixels.features[p];
      const double q = 1 / (1 + std::exp(-dot(weights, f)));
      for (std::size_t i = 0; i < n; ++i) {
        gradient[i] += (pixels.building[p] - q) * f[i];
        for (std::size_t j = 0; j < n; ++j) hessian[i][j] += q * (1 - q) * f[i] * f[j];
      }
    }
    const Features step = solve(hessian, gradient);
    for (std::size_t i = 0; i < n; ++i) weights[i] += step[i];
  }
  return weights;
}

// The best IoU that any threshold on the score reaches.
double best_iou(const Pixels& pixels, const Features& weights) {
  std::vector<std::pair<double, int>> scored;
  double positives = 0;
  for (std::size_t p = 0; p < pixels.features.size(); ++p) {
    scored.push_back({-dot(weights, pixels.features[p]), pixels.building[p]});
    positives += pixels.building[p];
  }
  std::sort(scored.begin(), scored.end());
  double hits = 0, best = 0;
  for (std::size_t taken = 0; taken < scored.size(); ++taken) {
    hits += scored[taken].second;
    best = std::max(best, hits / (positives + static_cast<double>(taken + 1) - hits));
  }
  return best;
}

}  // namespace

TEST_CASE("no function of a pixel's bands finds the buildings") {
  for (const int bands : {3, 4}) {
    const SynthOptions options{.bands = bands};
    const Features weights = fit_logistic(pixels_of(options, 0, 24, 37));
    const double iou = best_iou(pixels_of(options, 24, 36, 11), weights);
    MESSAGE(bands << " bands: per-pixel regression reaches IoU " << iou);
    CHECK(iou < 0.5);
    CHECK(iou > 0.1);  // it is a fair fit, not a broken one
  }
}

TEST_CASE("equal options draw equal bytes, other seeds other scenes") {
  const Folder folder;
  const SynthOptions options{.images = 5, .size = 64};
  write_synth(folder / "a", options);
  write_synth(folder / "b", options);
  write_synth(folder / "c", {.images = 5, .size = 64, .seed = 1});
  for (const char* file : {"train/images/scene_0000.png", "train/labels/scene_0003.png",
                           "val/images/scene_0004.png", "val/labels/scene_0004.png"}) {
    CHECK(bytes_of(folder / "a" / file) == bytes_of(folder / "b" / file));
  }
  CHECK(bytes_of(folder / "a/train/images/scene_0000.png") !=
        bytes_of(folder / "c/train/images/scene_0000.png"));
  const Dataset data = open_dataset(folder / "a");
  CHECK(data.at("train").samples.size() == 4);
  CHECK(data.at("val").samples.size() == 1);
}

TEST_CASE("six classes all appear and binary labels are the building class") {
  std::vector<std::int64_t> pixels(6, 0);
  for (int index = 0; index < 10; ++index) {
    const Scene six = draw_scene({.bands = 4, .classes = 6}, index);
    const Scene two = draw_scene({.bands = 4, .classes = 1}, index);
    CHECK(six.image.pixels == two.image.pixels);
    const auto a = six.label.as<std::uint8_t>();
    const auto b = two.label.as<std::uint8_t>();
    for (std::size_t i = 0; i < a.size(); ++i) {
      REQUIRE(a[i] < 6);
      REQUIRE(b[i] == (a[i] == 1 ? 255 : 0));
      ++pixels[a[i]];
    }
  }
  for (std::size_t k = 0; k < 6; ++k) {
    MESSAGE("class " << k << ": share " << static_cast<double>(pixels[k]) / 655360.0);
    CHECK(pixels[k] > 2000);
  }
}

TEST_CASE("synth: messages") {
  const Folder folder;
  const auto said = [&](SynthOptions options) {
    return message_of([&] { write_synth(folder / "x", options); }, ExitCode::usage);
  };
  CHECK(said({.images = 1}) ==
        "error[E-synth] --images 1 - 2 to 1000000 scenes can be drawn - use --images 60");
  CHECK(said({.size = 8}) ==
        "error[E-synth] --size 8 - 64 to 4096 pixels can be drawn - use --size 256");
  CHECK(said({.bands = 5}) ==
        "error[E-synth] --bands 5 - 3 is red, green, blue; 4 adds near "
        "infrared - use --bands 3");
  CHECK(said({.classes = 2}) ==
        "error[E-synth] --classes 2 - 1 is building or not; 6 is background, building, road, bare "
        "land, forest, water - use --classes 1");
  write_synth(folder / "y", {.images = 2, .size = 64});
  CHECK(
      message_of([&] { write_synth(folder / "y", {.images = 2, .size = 64}); }, ExitCode::usage) ==
      "error[E-exists] " + (folder / "y/train").native() +
          ": there already - a drawn data set does not overwrite files - choose another folder");
}

}  // namespace fjord
