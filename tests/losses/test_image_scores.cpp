// Borders of masks, calibration and per-image tables, against naive definitions.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/image_scores_report.h"
#include "kernels/error.h"
#include "tests/golden/recipe.h"

using namespace fjord;

namespace {

using Labels = std::vector<std::uint8_t>;

// Blobs of three classes, with some ignored pixels.
Labels drawn(const char* name, int height, int width) {
  Labels labels;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double a = golden::u(name, y / 5 * 31 + x / 7),
                   b = golden::u(name, 500 + y * width + x);
      labels.push_back(b > 0.97 ? 255 : static_cast<std::uint8_t>((a + 1) / 2 * 3));
    }
  return labels;
}

// A pixel of the class with a pixel of another class, or the outside, in the square around it.
bool near_border(const Labels& labels, int height, int width, int y, int x, int label, int d) {
  if (labels[static_cast<std::size_t>(y * width + x)] != label) return false;
  for (int i = y - d; i <= y + d; ++i)
    for (int j = x - d; j <= x + d; ++j)
      if (i < 0 || j < 0 || i >= height || j >= width ||
          labels[static_cast<std::size_t>(i * width + j)] != label)
        return true;
  return false;
}

}  // namespace

TEST_CASE("boundary IoU: a square window around every pixel") {
  for (const auto& [height, width] : {std::pair{1, 1}, {1, 9}, {17, 23}, {30, 8}}) {
    const Labels truth = drawn("scores.truth", height, width);
    const Labels guess = drawn("scores.guess", height, width);
    for (const int d : {1, 2, 3, 40})
      for (const int label : {0, 1, 2}) {
        CAPTURE(height);
        CAPTURE(d);
        BoundaryCounts naive;
        for (int y = 0; y < height; ++y)
          for (int x = 0; x < width; ++x) {
            const bool a = near_border(truth, height, width, y, x, label, d);
            const bool b = near_border(guess, height, width, y, x, label, d);
            naive.both += a && b;
            naive.either += a || b;
          }
        const BoundaryCounts counts = boundary_counts(truth, guess, height, width, label, d);
        CHECK(counts.both == naive.both);
        CHECK(counts.either == naive.either);
      }
  }
  CHECK(boundary_distance(512, 512) == 14);  // 0.02 * 724.08 = 14.48
  CHECK(boundary_distance(3, 3) == 1);
}

TEST_CASE("calibration error: bins of the confidence") {
  Calibration calibration;
  std::vector<std::pair<double, bool>> drawn_pairs;
  for (int i = 0; i < 500; ++i)
    drawn_pairs.emplace_back((golden::u("scores.confidence", i) + 1) / 2,
                             golden::u("scores.right", i) > 0.1);
  drawn_pairs.emplace_back(1.0, true);
  drawn_pairs.emplace_back(0.0, false);
  for (const auto& [p, right] : drawn_pairs) calibration.add(p, right);
  double naive = 0;
  for (int bin = 0; bin < 15; ++bin) {
    double confidence = 0, accuracy = 0, count = 0;
    for (const auto& [p, right] : drawn_pairs)
      if ((p > bin / 15.0 || bin == 0) && p <= (bin + 1) / 15.0)
        confidence += p, accuracy += right, count += 1;
    if (count > 0)
      naive += count / static_cast<double>(drawn_pairs.size()) *
               std::fabs(accuracy / count - confidence / count);
  }
  CHECK(*calibration.error() == doctest::Approx(naive).epsilon(1e-12));
  CHECK_FALSE(Calibration().error());
}

TEST_CASE("image scores: counts as smp.metrics has them, confidence of the predicted class") {
  ImageScores scores(3);
  std::vector<std::int64_t> outputs, targets;
  for (const char* name : {"scores.a", "scores.b"}) {
    const Labels truth = drawn(name, 9, 11);
    Labels guess = drawn("scores.guess", 9, 11);
    for (std::uint8_t& g : guess) g = g == 255 ? 0 : g;
    scores.add(name, truth, guess, 9, 11);
    outputs.insert(outputs.end(), guess.begin(), guess.end());
    targets.insert(targets.end(), truth.begin(), truth.end());
  }
  const PixelStats stats = scores.stats();
  const PixelStats naive = class_stats(outputs, targets, {2, 9, 11, 1}, 3, 255);
  CHECK(stats.tp == naive.tp);
  CHECK(stats.fp == naive.fp);
  CHECK(stats.fn == naive.fn);
  CHECK(stats.tn == naive.tn);

  ImageScores binary(1);
  const Labels truth{1, 0, 255, 1}, guess{1, 1, 1, 0};
  const std::vector<float> logits{2, 1, 9, -3};
  binary.add("one", truth, guess, 2, 2);
  binary.add_logits(truth, guess, logits);
  const auto p = [](double z) { return 1 / (1 + std::exp(-z)); };
  // Bins of their own: right with p(2), wrong with p(1), wrong with 1 - p(-3).
  CHECK(*binary.calibration().error() ==
        doctest::Approx((1 - p(2) + p(1) + p(3)) / 3).epsilon(1e-6));
  CHECK(binary.stats().classes == 1);
  CHECK(binary.stats().tp == std::vector<std::int64_t>{1});
  CHECK_THROWS_AS(binary.add_logits(truth, guess, std::vector<float>(3)), Error);
}

TEST_CASE("image scores: CSV quotes names, undefined figures are empty or null") {
  ImageScores scores(2);
  const Labels zeros(4, 0);
  scores.add("a,\"b\"", zeros, zeros, 2, 2);
  CHECK(to_csv(scores) ==
        "image,class,iou,dice,precision,recall,boundary_iou,pixels\n"
        "\"a,\"\"b\"\"\",background,1,1,1,1,1,4\n"
        "\"a,\"\"b\"\"\",foreground,,,,,,0\n");
  const auto json = to_json(scores);
  CHECK(json["ece"].is_null());
  CHECK(json["boundary_iou"].dump() == "[1.0,null]");
  CHECK(json["smp"].size() == smp_scores().size());
  CHECK(json["smp"]["recall"]["macro"] == 1.0);
  CHECK(to_table(scores).find("lowest a,\"b\": mIoU 1.0000") != std::string::npos);
}

TEST_CASE("smp.metrics: 17 names") {
  std::set<std::string_view> names;
  for (const NamedScore& one : smp_scores()) names.insert(one.name);
  CHECK(names.size() == 17);
  CHECK(smp_reductions().size() == 7);
}
