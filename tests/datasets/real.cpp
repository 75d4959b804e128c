// Public data sets, when the folder of them is named by FJORD_SHARED: read whole, checked, loaded.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>

#include "data/doctor.h"
#include "data/loader.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;

// The folder, or empty after saying that the case is skipped.
fs::path shared(const char* name) {
  const char* root = std::getenv("FJORD_SHARED");
  if (root && fs::exists(fs::path(root) / "datasets" / name))
    return fs::path(root) / "datasets" / name;
  MESSAGE("SKIPPED: FJORD_SHARED names no folder with datasets/" << name);
  return {};
}

}  // namespace

TEST_CASE("fair_buildings: 360 pairs of JPEG and PNG without a fault") {
  const fs::path root = shared("fair_buildings");
  if (root.empty()) return;
  const DoctorReport report = examine_dataset(root, {});
  MESSAGE(to_text(report));
  CHECK(report.errors() == 0);
  REQUIRE(report.splits.size() == 2);
  CHECK(report.splits[0].pairs == 315);
  CHECK(report.splits[1].pairs == 45);
  CHECK(report.splits[0].formats.at("JPEG") == 292);
  CHECK(report.splits[0].class_share(1) == doctest::Approx(0.185).epsilon(0.01));
  CHECK(report.labels.text() == "0:0,255:1");
}

TEST_CASE("naip_landcover_rgbn: four bands and six classes") {
  const fs::path root = shared("naip_landcover_rgbn");
  if (root.empty()) return;
  DoctorOptions options;
  options.labels.classes = 6;
  const DoctorReport report = examine_dataset(root, options);
  CHECK(report.errors() == 0);
  REQUIRE(report.splits.size() == 2);
  CHECK(report.splits[0].pairs == 129);
  CHECK(report.splits[0].bands == std::map<int, std::int64_t>{{4, 129}});
  const double shares[] = {.528, .030, .034, .158, .238, .013};
  for (int k = 0; k < 6; ++k) CHECK(std::abs(report.splits[0].class_share(k) - shares[k]) < 0.0006);

  const Dataset data = open_dataset(root);
  const Normalization stats = make_normalization({}, 4, DType::u8, data.at("train").samples, 2);
  CHECK(stats.kind == "stats");
  LoaderOptions loading{.batch = 8, .normalization = stats, .labels = report.labels, .threads = 2};
  Loader loader(data.at("val").samples, loading);
  CHECK(loader.sample_shape() == Shape{1, 256, 256, 4});
  std::vector<float> images(static_cast<std::size_t>(8 * loader.sample_shape().count()));
  std::vector<std::uint8_t> labels(8 * 256 * 256);
  std::int64_t seen = 0;
  for (std::int64_t i = 0; i < loader.batches(); ++i)
    seen += loader.next(images.data(), labels.data()).count;
  CHECK(seen == 43);
}

TEST_CASE("isbi_membrane: grey, as one channel or as three") {
  const fs::path root = shared("isbi_membrane");
  if (root.empty()) return;
  const Dataset data = open_dataset(root);
  for (const int channels : {1, 3}) {
    CHECK(check_for_training(data, {.in_channels = channels}).bands == 1);
    LoaderOptions loading{.batch = 2,
                          .normalization = make_normalization({"seed", {}}, channels, DType::u8,
                                                              data.at("train").samples, 2),
                          .labels = label_map_of({}, data.splits)};
    Loader loader(data.at("val").samples, loading);
    CHECK(loader.sample_shape() == Shape{1, 512, 512, channels});
    std::vector<float> images(static_cast<std::size_t>(2 * loader.sample_shape().count()));
    std::vector<std::uint8_t> labels(2 * 512 * 512);
    CHECK(loader.next(images.data(), labels.data()).count == 2);
  }
}

}  // namespace fjord
