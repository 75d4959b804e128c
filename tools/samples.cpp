// Sheets of validation samples.
#include "tools/samples.h"

#include <algorithm>

#include "data/image_write.h"
#include "kernels/confusion.h"
#include "tools/overlays.h"

namespace fjord {

namespace {

constexpr std::size_t kSheets = 4;

// A file name that stands for the stem: no separators, no control characters.
std::string safe_name(const std::string& stem) {
  std::string name = printable(stem).substr(0, 120);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

}  // namespace

std::vector<std::uint8_t> classes_of(const float* logits, Shape shape, double threshold) {
  std::vector<std::uint8_t> classes(static_cast<std::size_t>(shape.pixels()));
  const auto cut = static_cast<float>(threshold_logit(threshold));
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const float* pixel = logits + i * static_cast<std::size_t>(shape.c);
    classes[i] = shape.c == 1
                     ? pixel[0] > cut
                     : static_cast<std::uint8_t>(std::max_element(pixel, pixel + shape.c) - pixel);
  }
  return classes;
}

SampleSheets::SampleSheets(const std::vector<Sample>& samples, LoaderOptions options,
                           const ModelRecord& record)
    : classes_(record.model.classes) {
  const std::size_t count = std::min(kSheets, samples.size());
  std::vector<Sample> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(samples[i * samples.size() / count]);
  options.batch = 1;
  options.prefetch = 1;
  options.cache_bytes = 0;
  Loader loader(chosen, options);
  shape_ = loader.sample_shape();
  for (const Sample& sample : chosen) {
    Sheet sheet{sample.stem, std::vector<float>(static_cast<std::size_t>(shape_.count())),
                std::vector<std::uint8_t>(static_cast<std::size_t>(shape_.pixels()))};
    loader.next(sheet.values.data(), sheet.label.data());
    sheets_.push_back(std::move(sheet));
  }
}

void SampleSheets::draw(Evaluator& evaluator, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (const Sheet& sheet : sheets_) {
    const float* logits = evaluator.predict(shape_, sheet.values.data());
    const int height = static_cast<int>(shape_.h), width = static_cast<int>(shape_.w);
    const OverlaySample sample{
        display_image(sheet.values, height, width, static_cast<int>(shape_.c)), sheet.label,
        classes_of(logits, {1, shape_.h, shape_.w, classes_}, 0.5), printable(sheet.stem)};
    write_png(folder / (safe_name(sheet.stem) + ".png"),
              overlay_sheet(sample, class_names(classes_)));
  }
}

}  // namespace fjord
