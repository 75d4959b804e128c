// fjord-bench load: batches from image files, decoded and augmented.
#include <unistd.h>

#include <filesystem>

#include "data/loader.h"
#include "data/synth.h"
#include "kernels/threads.h"
#include "tools/batches.h"
#include "tools/benchmark.h"

namespace fjord {

namespace {

// A folder of drawn scenes that is removed again.
struct DrawnScenes {
  std::filesystem::path folder;
  DrawnScenes(const BenchSettings& s, int bands)
      : folder(std::filesystem::temp_directory_path() / fmt::format("fjord-bench-{}", ::getpid())) {
    write_synth(folder, {.images = std::max(20, s.batch * 2), .size = 256, .bands = bands});
  }
  ~DrawnScenes() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
};

}  // namespace

nlohmann::ordered_json bench_load(const BenchSettings& s, BenchClock::time_point start) {
  const int bands = s.model.in_channels.value_or(3);
  const DrawnScenes scenes(s, bands);
  const Dataset data = open_dataset(scenes.folder);
  const auto& samples = data.at("train").samples;
  LoaderOptions options{.batch = s.batch, .augment = AugmentPolicy::standard, .threads = threads()};
  options.framing.height = s.size.height, options.framing.width = s.size.width;
  options.labels = LabelMap::binary(255);
  options.normalization = make_normalization({"unit", {}}, bands, DType::u8, samples, threads());
  options.order = Order::shuffled;
  options.last_batch = LastBatch::drop;
  Loader loader(samples, options);
  Shape shape = loader.sample_shape();
  std::vector<float> images(static_cast<std::size_t>(shape.count() * s.batch));
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(shape.pixels() * s.batch));
  const Timing timing = time_steps(s, start, [&] { loader.next(images.data(), labels.data()); });
  return report(s, timing, static_cast<double>(images.size() * 4 + labels.size()) / 1048576.0);
}

}  // namespace fjord
