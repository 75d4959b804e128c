// The loader: the same pixels for any thread count, cache or starting point; order; errors.
#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "data/synth.h"
#include "tests/datasets/folder.h"

namespace fjord {

namespace {

struct Fetched {
  Batch batch;
  std::vector<float> images;
  std::vector<std::uint8_t> labels;
  bool operator==(const Fetched& other) const {
    return batch.epoch == other.batch.epoch && batch.step == other.batch.step &&
           batch.samples == other.batch.samples && images == other.images && labels == other.labels;
  }
};

Fetched fetch(Loader& loader, std::int64_t batch) {
  const Shape shape = loader.sample_shape();
  Fetched f{{},
            std::vector<float>(static_cast<std::size_t>(batch * shape.count()), -7),
            std::vector<std::uint8_t>(static_cast<std::size_t>(batch * shape.pixels()), 77)};
  f.batch = loader.next(f.images.data(), f.labels.data());
  return f;
}

std::vector<Fetched> fetch_all(const std::vector<Sample>& samples, LoaderOptions options,
                               int batches) {
  Loader loader(samples, options);
  std::vector<Fetched> all;
  for (int i = 0; i < batches; ++i) all.push_back(fetch(loader, options.batch));
  return all;
}

Normalization unit(int channels, double range = 255) {
  const auto n = static_cast<std::size_t>(channels);
  return {"unit", range, std::vector<double>(n, 0.0), std::vector<double>(n, 1.0)};
}

// 11 scenes of 64 x 64.
struct Scenes {
  Folder folder;
  std::vector<Sample> samples;

  explicit Scenes(int bands = 3) {
    write_synth(folder / "set", {.images = 14, .size = 64, .bands = bands});
    std::vector<std::string> notes;
    samples = open_split(folder / "set/train", notes).samples;
    REQUIRE(samples.size() == 12);
    samples.pop_back();
  }
};

LoaderOptions training(std::int64_t size) {
  return {.batch = 4,
          .framing = {.height = size, .width = size},
          .augment = AugmentPolicy::standard,
          .normalization = unit(3),
          .labels = LabelMap::binary(255),
          .seed = 5,
          .order = Order::shuffled,
          .last_batch = LastBatch::drop,
          .threads = 1,
          .cache_bytes = 0};
}

// What a card does with a raw batch, here by the CPU's kernels.
Fetched fetch_raw(Loader& loader, std::int64_t batch) {
  const RawImages raw = loader.raw_images();
  const Shape shape = loader.sample_shape();
  const Shape source{batch, raw.source.h, raw.source.w, shape.c};
  const Shape out{batch, shape.h, shape.w, shape.c};
  Fetched f{{}, std::vector<float>(out.count()), std::vector<std::uint8_t>(out.pixels())};
  std::vector<std::uint8_t> pixels(source.count()), classes(source.pixels());
  std::vector<AugmentSample> samples(batch);
  f.batch = loader.next_raw({pixels.data(), classes.data(), samples.data()});
  augment_on_host(raw, {pixels.data(), classes.data(), samples.data()}, out, f.images.data(),
                  f.labels.data());
  return f;
}

}  // namespace

TEST_CASE("batches do not depend on threads, prefetch or cache") {
  const Scenes scenes;
  for (const bool crop : {false, true}) {
    LoaderOptions options = training(48);
    if (crop) options.framing = {.crop_height = 32, .crop_width = 40};
    const std::vector<Fetched> expected = fetch_all(scenes.samples, options, 7);
    CHECK_FALSE(expected[0] == expected[1]);
    for (const int threads : {1, 2, 4})
      for (const std::size_t cache : {std::size_t{0}, std::size_t{40000}, std::size_t{1} << 30})
        for (const std::int64_t prefetch : {1, 3}) {
          options.threads = threads, options.cache_bytes = cache, options.prefetch = prefetch;
          CAPTURE(threads);
          CAPTURE(cache);
          CHECK(fetch_all(scenes.samples, options, 7) == expected);
        }
  }
}

TEST_CASE("raw batches, augmented by who takes them, are the ready ones to the bit") {
  const Scenes scenes;
  for (const bool crop : {false, true}) {
    LoaderOptions options = training(40);
    if (crop) options.framing = {.crop_height = 48, .crop_width = 48};
    Loader ready(scenes.samples, options);
    options.augment_by = AugmentBy::consumer;
    options.threads = 2;
    Loader raw(scenes.samples, options);
    CHECK(raw.raw_images().source == (crop ? Shape{1, 64, 64, 3} : Shape{1, 40, 40, 3}));
    for (int batch = 0; batch < 5; ++batch) CHECK(fetch_raw(raw, 4) == fetch(ready, 4));
    std::vector<float> images(1);
    std::vector<std::uint8_t> labels(1);
    CHECK_THROWS_AS(raw.next(images.data(), labels.data()), Error);
  }
}

TEST_CASE("loading can start at any epoch and step, again and again") {
  const Scenes scenes;
  LoaderOptions options = training(32);
  const std::vector<Fetched> expected = fetch_all(scenes.samples, options, 8);
  options.threads = 2;
  Loader loader(scenes.samples, options);
  REQUIRE(loader.batches() == 2);
  for (const int at : {5, 0, 7, 3, 3}) {
    loader.start(at / 2, at % 2);
    for (int i = at; i < std::min(at + 3, 8); ++i)
      CHECK(fetch(loader, 4) == expected[static_cast<std::size_t>(i)]);
  }
  loader.start(0, 2);  // the end of an epoch is the beginning of the next
  CHECK(fetch(loader, 4) == expected[2]);
}

TEST_CASE("an epoch is a permutation; the cut batch is kept or dropped") {
  const Scenes scenes;
  LoaderOptions options = training(16);
  options.last_batch = LastBatch::keep;
  Loader loader(scenes.samples, options);
  CHECK(loader.batches() == 3);
  std::vector<std::vector<std::int64_t>> epochs(3);
  for (int i = 0; i < 9; ++i) {
    const Fetched f = fetch(loader, 4);
    CHECK(f.batch.epoch == i / 3);
    CHECK(f.batch.step == i % 3);
    CHECK(f.batch.count == (i % 3 == 2 ? 3 : 4));
    if (f.batch.count == 3) {  // what lies behind the count is the caller's
      CHECK(f.images[3 * 16 * 16 * 3] == -7);
      CHECK(f.labels[3 * 16 * 16] == 77);
    }
    auto& order = epochs[static_cast<std::size_t>(i / 3)];
    order.insert(order.end(), f.batch.samples.begin(), f.batch.samples.end());
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[0] == epoch_order(11, Order::shuffled, 5, 0));
  for (auto order : epochs) {
    std::sort(order.begin(), order.end());
    CHECK(order == epoch_order(11, Order::sorted, 0, 0));
  }
  options.last_batch = LastBatch::drop;
  CHECK(Loader(scenes.samples, options).batches() == 2);
  CHECK(epoch_order(11, Order::shuffled, 6, 0) != epochs[0]);
}

TEST_CASE("every place of a permutation is equally likely") {
  std::vector<int> first(5, 0);
  for (int epoch = 0; epoch < 5000; ++epoch)
    ++first[static_cast<std::size_t>(epoch_order(5, Order::shuffled, 1, epoch)[0])];
  for (const int count : first) CHECK(std::abs(count - 1000) < 115);  // 4 standard deviations
}

TEST_CASE("without augmentation: decode, nearest by integers, normalise; labels alike") {
  const Folder folder;
  write_image(folder / "images/a.png", image_of(5, 7, 3, [](int i) { return (i * 37) % 256; }));
  write_image(folder / "labels/a.png", image_of(5, 7, 1, [](int i) { return i % 2 * 255; }));
  std::vector<std::string> notes;
  LoaderOptions options{.batch = 1,
                        .framing = {.height = 3, .width = 11},
                        .normalization = unit(3),
                        .labels = LabelMap::binary(255)};
  options.normalization.mean = {0.1, 0.2, 0.3};
  options.normalization.std = {0.5, 0.25, 2};
  Loader loader(open_split(folder.path(), notes).samples, options);
  const Fetched f = fetch(loader, 1);
  const auto scale = options.normalization.scale(), offset = options.normalization.offset();
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 11; ++x) {
      const int source = (y * 5 / 3) * 7 + x * 7 / 11;
      CHECK(f.labels[static_cast<std::size_t>(y * 11 + x)] == source % 2);
      for (int c = 0; c < 3; ++c) {
        const auto k = static_cast<std::size_t>(c);
        CHECK(f.images[static_cast<std::size_t>((y * 11 + x) * 3 + c)] ==
              static_cast<float>((source * 3 + c) * 37 % 256) * scale[k] + offset[k]);
      }
    }
}

TEST_CASE("the cache keeps within its budget; a set larger than it is read again") {
  const Scenes scenes;
  LoaderOptions options = training(32);
  const std::size_t one = 32 * 32 * 4;
  options.cache_bytes = 5 * one + 17;
  options.threads = 3;
  Loader loader(scenes.samples, options);
  for (int i = 0; i < 9; ++i) fetch(loader, 4);
  CHECK(loader.cached_bytes() == 5 * one);
  CHECK(default_cache_bytes() > 1 << 20);
}

TEST_CASE("a damaged file is named by the batch that needs it, others come first") {
  const Scenes scenes;
  std::vector<Sample> samples = scenes.samples;
  const auto broken = scenes.folder / "broken.png";
  write_file(broken, bytes_of(samples[6].image).substr(0, 300));
  samples[6].image = broken;
  LoaderOptions options = training(32);
  options.order = Order::sorted, options.augment = AugmentPolicy::none;
  for (const int threads : {1, 4}) {
    options.threads = threads;
    Loader loader(samples, options);
    CHECK(fetch(loader, 4).batch.step == 0);
    for (int again = 0; again < 2; ++again) {
      const std::string said = message_of([&] { fetch(loader, 4); }, ExitCode::dataset);
      CHECK(said.find(broken.native()) != std::string::npos);
    }
    loader.start(1, 0);
    CHECK(fetch(loader, 4).batch.epoch == 1);
  }
}

TEST_CASE("a loader that is never asked, or not to the end, stops at once") {
  const Scenes scenes;
  LoaderOptions options = training(64);
  options.threads = 4;
  for (int i = 0; i < 5; ++i) {
    Loader loader(scenes.samples, options);
    if (i % 2) fetch(loader, 4);
  }
}

TEST_CASE("loader: messages") {
  const Folder folder;
  const auto add = [&](const std::string& stem, int h, int w, int bands) {
    write_image(folder / ("images/" + stem + ".png"), image_of(h, w, bands, [](int) { return 9; }));
    write_image(folder / ("labels/" + stem + ".png"), image_of(h, w, 1, [](int) { return 0; }));
  };
  add("a", 8, 8, 3);
  add("b", 8, 10, 3);
  const auto said = [&](LoaderOptions options, int batches = 1) {
    return folder.short_names(message_of(
        [&] {
          std::vector<std::string> notes;
          Loader loader(open_split(folder.path(), notes).samples, options);
          for (int i = 0; i < batches; ++i) fetch(loader, options.batch);
        },
        ExitCode::dataset));
  };
  LoaderOptions options = training(0);
  options.order = Order::sorted;
  CHECK(said(options) ==
        "error[E-too-few] DIR/images: 2 training pairs, fewer than a batch of 4 - an epoch's last "
        "incomplete batch is dropped, so nothing would be left - use --batch 2");
  options.batch = 2;
  CHECK(said(options) ==
        "error[E-image-size] DIR/images/b.png: 10x8, but DIR/images/a.png is 8x8 - with --size 0 "
        "all images have one size - use --size 512 or --crop 256");
  options.normalization = unit(4);
  CHECK(said(options) ==
        "error[E-bands] DIR/images/a.png: 3 bands - the model reads 4 - use --in-channels 3, or "
        "convert the image");
}

TEST_CASE("grey images repeat to 3 channels, crops of small images reflect; each said once") {
  const Folder folder;
  for (const char* stem : {"a", "b", "c"}) {
    write_image(folder / "images" / (std::string(stem) + ".png"),
                image_of(4, 6, 1, [](int i) { return i * 5; }));
    write_image(folder / "labels" / (std::string(stem) + ".png"),
                image_of(4, 6, 1, [](int i) { return i % 6 == 1; }));
  }
  std::vector<std::string> notes;
  LoaderOptions options{.batch = 3,
                        .framing = {.crop_height = 9, .crop_width = 6},
                        .normalization = unit(3),
                        .labels = LabelMap::binary(1)};
  Loader loader(open_split(folder.path(), notes).samples, options);
  const Fetched f = fetch(loader, 3);
  const int rows[] = {0, 1, 2, 3, 2, 1, 0, 1, 2};
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 6; ++x)
      for (int c = 0; c < 3; ++c) {
        CHECK(f.images[static_cast<std::size_t>((y * 6 + x) * 3 + c)] ==
              doctest::Approx((rows[y] * 6 + x) * 5 / 255.0));
        CHECK(f.labels[static_cast<std::size_t>(y * 6 + x)] == (x == 1));
      }
  auto said = loader.take_notes();
  std::sort(said.begin(), said.end());
  CHECK(said == std::vector<std::string>{"grey images repeated to 3 channels",
                                         "images smaller than --crop: extended by reflection"});
  fetch(loader, 3);
  CHECK(loader.take_notes().empty());
}

TEST_CASE("four bands train without colour shifts, said once") {
  const Scenes scenes(4);
  LoaderOptions options = training(64);
  options.normalization = unit(4);
  Loader loader(scenes.samples, options);
  CHECK(fetch(loader, 4).batch.count == 4);
  CHECK(loader.take_notes() ==
        std::vector<std::string>{
            "colour augmentation is off: it needs red, green and blue bands alone"});
}

}  // namespace fjord
