// What a run trains on: found, checked, and said.
#include <filesystem>

#include "data/doctor.h"
#include "kernels/threads.h"
#include "tools/log.h"
#include "tools/training.h"

namespace fjord {

namespace {

int channels_of(const TrainSettings& settings, const TrainingFacts& facts) {
  const int wanted = settings.model.in_channels.value_or(facts.bands);
  if (wanted == facts.bands) return wanted;
  if (facts.bands == 1 && wanted == 3) {
    say("grey images are repeated to 3 channels");
    return wanted;
  }
  throw Error(ExitCode::dataset, "bands", printable(settings.data),
              fmt::format("its images have {} bands, --in-channels says {}", facts.bands, wanted),
              fmt::format("use --in-channels {}", facts.bands));
}

void say_split(const Split& split, const TrainingData& data,
               const std::vector<std::string>& names) {
  const auto pixels = count_class_pixels(split.samples, data.labels, threads());
  say("{}: {} pairs; {}", split.name, split.samples.size(), shares_text(pixels, names));
  for (std::size_t k = 0; k < names.size(); ++k)
    if (pixels[k] == 0 && split.name == "train")
      throw Error(ExitCode::dataset, "class-absent", printable(split.root.string()),
                  fmt::format("no training label has class {}", names[k]),
                  "check --classes and --labels, or add such images");
}

std::string sizes_text(const TrainingFacts& facts) {
  std::string text;
  std::size_t listed = 0;
  for (const auto& [size, count] : facts.sizes) {
    if (listed++ == 4) return text + fmt::format(" and {} more sizes", facts.sizes.size() - 4);
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", size,
                        facts.sizes.size() > 1 ? fmt::format(" ({})", count) : "");
  }
  return text;
}

std::string type_text(DType type) {
  return type == DType::u8 ? "8-bit" : type == DType::u16 ? "16-bit" : "float";
}

}  // namespace

Dataset find_dataset(const TrainSettings& settings) {
  if (settings.data.empty())
    throw Error(ExitCode::usage, "missing-argument", "DATA", "fjord-train needs a data set",
                "name its folder; fjord-data synth DIR draws one to try");
  return open_dataset(settings.data, {settings.val_fraction, settings.common.seed});
}

TrainingData open_training_data(TrainSettings& settings) {
  TrainingData data;
  data.dataset = find_dataset(settings);
  for (const std::string& note : data.dataset.notes) say(note);
  data.facts = check_for_training(
      data.dataset, {.threads = threads(), .in_channels = settings.model.in_channels.value_or(0)});
  say("images: {}, {} bands, {}{}", sizes_text(data.facts), data.facts.bands,
      type_text(data.facts.dtype),
      data.facts.turned ? fmt::format(", {} turned by EXIF", data.facts.turned) : "");
  data.channels = channels_of(settings, data.facts);
  data.labels = label_map_of(label_options(settings), data.dataset.splits);
  for (const char* name : {"train", "val"})
    say_split(data.dataset.at(name), data, class_names(settings.model.classes.value_or(1)));
  data.normalization =
      make_normalization({settings.normalize.value_or(""), settings.range}, data.channels,
                         data.facts.dtype, data.training(), threads());
  say("input: {}, normalised by {} (range {})", to_string(framing_of(settings)),
      data.normalization.kind, data.normalization.range);
  settings.model.in_channels = data.channels;
  settings.model.classes = settings.model.classes.value_or(1);
  settings.normalize = data.normalization.kind;
  settings.range = data.normalization.range;
  return data;
}

AugmentBy augment_by(const TrainSettings& settings, const TrainingData& data, Backend backend) {
  const bool alike = framing_of(settings).resizes() || data.facts.sizes.size() == 1;
  return backend == Backend::cuda && alike ? AugmentBy::consumer : AugmentBy::loader;
}

LoaderOptions loader_options(const TrainSettings& settings, const TrainingData& data,
                             SplitUse use) {
  const bool training = use == SplitUse::training;
  LoaderOptions options{.batch = settings.batch,
                        .framing = framing_of(settings),
                        .augment = training && settings.augment == "standard"
                                       ? AugmentPolicy::standard
                                       : AugmentPolicy::none,
                        .normalization = data.normalization,
                        .labels = data.labels,
                        .seed = settings.common.seed,
                        .order = training && !settings.no_shuffle ? Order::shuffled : Order::sorted,
                        .last_batch = training ? LastBatch::drop : LastBatch::keep,
                        .threads = training ? threads() : 1};
  // What fits of both splits: training takes the larger part.
  options.cache_bytes = default_cache_bytes() / 4 * (training ? 3 : 1);
  return options;
}

}  // namespace fjord
