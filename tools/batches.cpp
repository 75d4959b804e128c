// Loaders as batch sources.
#include "tools/batches.h"

#include <mutex>
#include <numeric>

#include "data/sample.h"

namespace fjord {

void LoaderSource::start(int epoch, std::int64_t batch) {
  loader_.start(epoch, batch);
  next_ = batch;
}

int LoaderSource::next(float* images, std::uint8_t* labels) {
  if (next_ == loader_.batches()) return 0;
  ++next_;
  last_ = loader_.next(images, labels);
  return static_cast<int>(last_.count);
}

int LoaderSource::next_raw(const RawBatch& batch) {
  if (next_ == loader_.batches()) return 0;
  ++next_;
  last_ = loader_.next_raw(batch);
  return static_cast<int>(last_.count);
}

std::vector<std::int64_t> count_class_pixels(std::span<const Sample> samples, const LabelMap& map,
                                             int threads) {
  const auto classes = static_cast<std::size_t>(map.classes);
  std::vector<std::int64_t> total(classes + 1);
  std::mutex mutex;
  for_each_sample(static_cast<std::int64_t>(samples.size()), threads, [&](std::int64_t i) {
    const std::filesystem::path& file = samples[static_cast<std::size_t>(i)].label;
    const Image label =
        read_image(file, {.purpose = Purpose::label, .label_threshold = map.threshold});
    std::vector<std::string> notes;
    std::vector<std::int64_t> counts(classes + 1);
    for (const std::uint8_t k : to_classes(map, label, file, notes))
      ++counts[std::min<std::size_t>(k, classes)];
    const std::lock_guard lock(mutex);
    for (std::size_t k = 0; k <= classes; ++k) total[k] += counts[k];
  });
  return total;
}

std::string shares_text(const std::vector<std::int64_t>& pixels,
                        const std::vector<std::string>& names) {
  const auto counted = std::accumulate(pixels.begin(), pixels.end() - 1, std::int64_t{0});
  std::string text;
  for (std::size_t k = 0; k < names.size(); ++k)
    text += fmt::format("{}{} {:.1f} %", k ? ", " : "", names[k],
                        counted ? 100.0 * double(pixels[k]) / double(counted) : 0.0);
  if (pixels.back() > 0)
    text += fmt::format(", ignored {:.1f} % of all",
                        100.0 * double(pixels.back()) / double(counted + pixels.back()));
  return text;
}

}  // namespace fjord
