// Scores from confusion matrices by hand-made cases, and smp.metrics' five tables of figures.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/image_scores_report.h"
#include "engine/metrics_report.h"
#include "engine/smp_metrics.h"
#include "kernels/cpu/backend.h"
#include "tests/losses/loss_run.h"
#include "tests/losses/metric_run.h"

using namespace fjord;

namespace {

// The counts of a table, from the recipe's logits and labels through the CPU's confusion kernel.
PixelStats counted(const std::string& table) {
  const bool binary = table == "binary", multilabel = table == "ml";
  const golden::LossInput input =
      golden::loss_input(binary ? "lb" : "lg", binary                 ? "tb"
                                               : multilabel           ? "tl"
                                               : table == "mc_ignore" ? "tmi"
                                               : table == "mc"        ? "tm"
                                                                      : "tm2");
  const Shape s = input.shape;
  if (binary || multilabel) {
    std::vector<double> p;
    for (double z : input.logits) p.push_back(1 / (1 + std::exp(-z)));
    return element_stats(p, input.label.values, s);
  }
  std::vector<std::int64_t> output, target;
  for (std::int64_t i = 0; i < s.pixels(); ++i) {
    const auto z = input.logits.begin() + i * s.c;
    output.push_back(table == "mc_degenerate" ? 1 : std::max_element(z, z + s.c) - z);
    target.push_back(static_cast<std::int64_t>(input.label.values[static_cast<std::size_t>(i)]));
  }
  return class_stats(output, target, s, 4, 255);
}

}  // namespace

TEST_CASE("smp.metrics: scores and reductions of five tables") {
  int figures = 0;
  double worst = 0;
  for (const golden::MetricTable& table : golden::metric_tables())
    for (const golden::MetricValue& value : table.values) {
      CAPTURE(std::string(table.name) + " " + value.name);
      const std::vector<double> scores = golden::metric(table, value.name);
      REQUIRE(scores.size() == value.values.size());
      for (std::size_t i = 0; i < scores.size(); ++i) {
        CHECK(golden::metric_error(scores[i], value.values[i]) <= 1e-6);  // SMP computes in fp32
        worst = std::max(worst, golden::metric_error(scores[i], value.values[i]));
        ++figures;
      }
    }
  fmt::print("smp.metrics: {} figures of {} tables, worst error {:.1e}\n", figures,
             golden::metric_tables().size(), worst);
}

TEST_CASE("smp.metrics: counts from outputs and labels") {
  for (const golden::MetricTable& table : golden::metric_tables()) {
    CAPTURE(table.name);
    const PixelStats stats = counted(table.name);
    CHECK(stats.tp == table.counts[0]);
    CHECK(stats.fp == table.counts[1]);
    CHECK(stats.fn == table.counts[2]);
    CHECK(stats.tn == table.counts[3]);
  }
}

TEST_CASE("image scores: the JSON's reductions with class weights are smp.metrics'") {
  const golden::MetricTable& table = golden::metric_tables().front();
  REQUIRE(std::string(table.name) == "mc");
  const golden::LossInput input = golden::loss_input("lg", "tm");
  const Shape s = input.shape;
  ImageScores scores(4);
  for (std::int64_t image = 0; image < s.n; ++image) {
    std::vector<std::uint8_t> truth, guess;
    for (std::int64_t i = image * s.h * s.w; i < (image + 1) * s.h * s.w; ++i) {
      const auto z = input.logits.begin() + i * s.c;
      guess.push_back(static_cast<std::uint8_t>(std::max_element(z, z + s.c) - z));
      truth.push_back(static_cast<std::uint8_t>(input.label.values[static_cast<std::size_t>(i)]));
    }
    scores.add(fmt::format("{}", image), truth, guess, static_cast<int>(s.h),
               static_cast<int>(s.w));
  }
  const auto plain = to_json(scores)["smp"], weighted = to_json(scores, {1, 2, 3, 4})["smp"];
  int compared = 0;
  for (const golden::MetricValue& value : table.values) {
    const std::string name = value.name, score = name.substr(0, name.find('|')),
                      reduction = name.substr(score.size() + 1);
    // The goldens are of 15 names, the other two mean the same. The JSON's fbeta_score is of beta
    // 1, the golden of 2.
    if (score == "fbeta_score" || !weighted.at(score).contains(reduction)) continue;
    CAPTURE(name);
    const double found = weighted[score][reduction].get<double>();
    CHECK(golden::metric_error(found, value.values.at(0)) <= 1e-6);
    CHECK(plain[score].contains(reduction) != reduction.starts_with("weighted"));
    ++compared;
  }
  CHECK(compared == 14 * 6);
}

TEST_CASE("confusion matrix: every figure by hand") {
  ConfusionMatrix matrix(3);
  // truth 0: 3 right, 1 as class 1; truth 1: 2 right; class 2 is in neither.
  const std::vector<std::uint8_t> truth{0, 0, 0, 0, 1, 1, 255}, guess{0, 0, 0, 1, 1, 1, 2};
  matrix.add(truth, guess);
  const Metrics m = matrix.metrics({"ground", "roof", "water"});
  CHECK(m.classes[0].iou == doctest::Approx(3.0 / 4));
  CHECK(m.classes[1].iou == doctest::Approx(2.0 / 3));
  CHECK(m.classes[1].dice == doctest::Approx(4.0 / 5));
  CHECK(m.classes[1].precision == doctest::Approx(2.0 / 3));
  CHECK(m.classes[0].recall == doctest::Approx(3.0 / 4));
  CHECK_FALSE(m.classes[2].iou);
  CHECK(m.miou == doctest::Approx((0.75 + 2.0 / 3) / 2));
  CHECK(m.accuracy == doctest::Approx(5.0 / 6));
  CHECK(m.mean_class_accuracy == doctest::Approx((0.75 + 1) / 2));
  CHECK(m.fwiou == doctest::Approx((4 * 0.75 + 2 * 2.0 / 3) / 6));
  const std::string json = to_json(m, matrix).dump();
  CHECK(json.starts_with(R"({"classes":[{"name":"ground","iou":0.75,"dice":)"));
  CHECK(
      json.find(
          R"({"name":"water","iou":null,"dice":null,"precision":null,"recall":null,"pixels":0}],"miou":)") !=
      std::string::npos);
  CHECK(json.ends_with(R"("confusion":[[3,1,0],[0,2,0],[0,0,0]]})"));
  CHECK(to_table(m).find("mIoU 0.7083 (without 1 absent)") != std::string::npos);
}

TEST_CASE("confusion matrix: nothing counted has no figures, never NaN") {
  const Metrics m = ConfusionMatrix(1).metrics();
  CHECK(m.classes[1].name == "foreground");
  CHECK_FALSE(m.miou);
  CHECK_FALSE(m.accuracy);
  CHECK_FALSE(m.fwiou);
  CHECK(to_table(m).find("n/a") != std::string::npos);
}

TEST_CASE("confusion matrix: a prediction outside of the classes is named") {
  ConfusionMatrix matrix(2);
  const std::vector<std::uint8_t> truth{0, 1}, guess{0, 7};
  CHECK_THROWS_WITH(matrix.add(truth, guess),
                    "error[E-label-value] predicted class 7 at pixel 1 - the classes are 0..1 - "
                    "give the label map that the predictions were written with by --labels");
  CHECK(matrix.pixels() == 0);
  CHECK_THROWS_AS(ConfusionMatrix(0), Error);
  CHECK_THROWS_AS(ConfusionMatrix(257), Error);
}

TEST_CASE("confusion matrix: NaN logits belong to no class") {
  enable_cpu_kernels();
  std::vector<float> logits{1, NAN, -1, 2};
  std::vector<std::uint8_t> labels{1, 1, 0, 255};
  Buffer z{"logits", {1, 2, 2, 1}, DType::f32, logits.data()};
  Buffer t{"label", {1, 2, 2, 1}, DType::u8, labels.data()};
  Stream stream;
  ConfusionMatrix matrix(1);
  CHECK_THROWS_WITH(matrix.add(In{&z}, In{&t}, 0.5, stream),
                    "error[E-nan] the logits of 1 pixels are not numbers - a NaN belongs to no "
                    "class - check the model's weights with fjord-inspect");
  CHECK(matrix.pixels() == 0);
  logits[1] = 0;  // exactly at the threshold: background
  ConfusionMatrix counted(1);
  counted.add(In{&z}, In{&t}, 0.5, stream);
  CHECK(counted.at(1, 1) == 1);
  CHECK(counted.at(1, 0) == 1);
  CHECK(counted.at(0, 0) == 1);
  CHECK(counted.pixels() == 3);
}

TEST_CASE("confusion matrix: labels and logits have to agree") {
  Stream stream;
  std::vector<float> logits(8);
  std::vector<std::uint8_t> labels(8);
  Buffer z{"logits", {1, 2, 2, 2}, DType::f32, logits.data()};
  Buffer few{"label", {1, 2, 1, 1}, DType::u8, labels.data()};
  Buffer all{"label", {1, 2, 2, 1}, DType::u8, labels.data()};
  ConfusionMatrix two(2), three(3);
  CHECK_THROWS_AS(two.add(In{&z}, In{&few}, 0.5, stream), Error);
  CHECK_THROWS_AS(three.add(In{&z}, In{&all}, 0.5, stream), Error);
}

TEST_CASE("the seed's report") {
  ConfusionMatrix matrix(1);
  const std::vector<std::uint8_t> truth{0, 0, 0, 1, 1, 1}, guess{0, 0, 1, 1, 1, 0};
  matrix.add(truth, guess);
  const SeedReport report = seed_report(matrix.metrics());
  CHECK(report.recall == doctest::Approx(2.0 / 3));
  CHECK(report.f1 == doctest::Approx(2.0 / 3));
  CHECK(report.miou == doctest::Approx(0.5));
  CHECK(to_json(report).dump() ==
        R"({"acc":0.6666666666666666,"acc_cls":0.6666666666666666,"iou":[0.5,0.5],"miou":0.5,)"
        R"("fwavacc":0.5,"recall":0.6666666666666666,"f1":0.6666666666666666})");
}
