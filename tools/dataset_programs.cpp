// fjord-data.
#include "tools/dataset_programs.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/synth.h"
#include "kernels/threads.h"
#include "tools/batches.h"
#include "tools/log.h"
#include "tools/model_record.h"
#include "tools/plots.h"

namespace fjord {

namespace {

const ProgramText kText{"fjord-data", "synth DIR | check DATA | stats DATA [flags]",
                        "draws, examines or counts a data set",
                        "  fjord-data synth demo/data --images 60 --size 256\n"
                        "  fjord-data check data/buildings\n"
                        "  fjord-data stats data/landcover --classes 6 --chart classes.png\n"};

struct DataSettings {
  CommonFlags common;
  std::string what, folder, labels, chart = "classes.png";
  std::optional<double> label_threshold;
  std::optional<int> ignore_index;
  SynthOptions synth;
  double val_fraction = 0.1;
};

void add_flags(Options& options, DataSettings& s) {
  options.positional("what", &s.what, {.choices = {"synth", "check", "stats"}, .saved = false});
  options.positional("folder", &s.folder, {.saved = false});
  options.group("synth");
  options.flag("images", &s.synth.images, {.value = "N", .help = "pairs (60)", .range = {1, 1e6}});
  options.flag("size", &s.synth.size, {.value = "N", .help = "pixels (256)", .range = {16, 4096}});
  options.flag("bands", &s.synth.bands, {.value = "N", .help = "3 or 4 (3)", .range = {3, 4}});
  options.group("labels");
  options.flag("classes", &s.synth.classes,
               {.value = "N", .help = "1: binary (1)", .range = {1, 254}});
  options.flag("labels", &s.labels, {.value = "MAP", .help = "\"1:0,2:1,255:ignore\""});
  options.flag("label-threshold", &s.label_threshold,
               {.value = "T", .help = "foreground from T up", .range = {0, 65535}});
  options.flag("ignore-index", &s.ignore_index,
               {.value = "N", .help = "label not counted", .range = {0, 65535}});
  options.flag("val-fraction", &s.val_fraction,
               {.value = "X", .help = "without val/ (0.1)", .range = {0, 1, true, true}});
  options.flag("chart", &s.chart, {.value = "FILE", .help = "of stats (classes.png)"});
  add_common_flags(options, s.common);
}

LabelOptions label_options(const DataSettings& s) {
  return {s.synth.classes, s.labels, s.label_threshold, s.ignore_index};
}

int synth(DataSettings& s) {
  s.synth.seed = s.common.seed;
  const SynthResult drawn = write_synth(s.folder, s.synth);
  say("{}: {} training and {} validation scenes", printable(s.folder), drawn.train, drawn.val);
  write_json(s.common,
             {{"folder", printable(s.folder)}, {"train", drawn.train}, {"val", drawn.val}});
  return 0;
}

std::string band_table(const BandStatistics& bands) {
  std::string text =
      fmt::format("{:>6} {:>10} {:>10} {:>10} {:>10}\n", "band", "mean", "std", "min", "max");
  for (std::size_t i = 0; i < bands.mean.size(); ++i)
    text += fmt::format("{:>6} {:>10.4g} {:>10.4g} {:>10.4g} {:>10.4g}\n", i + 1, bands.mean[i],
                        bands.std[i], bands.min[i], bands.max[i]);
  return text;
}

std::string class_table(const std::vector<std::int64_t>& pixels,
                        const std::vector<std::string>& names) {
  const auto all = std::accumulate(pixels.begin(), pixels.end() - 1, std::int64_t{0});
  std::string text = fmt::format("{:>12} {:>14} {:>8}\n", "class", "pixels", "share");
  for (std::size_t k = 0; k < names.size(); ++k)
    text += fmt::format("{:>12} {:>14} {:>8.4f}\n", names[k], pixels[k],
                        all ? double(pixels[k]) / double(all) : 0.0);
  return text + fmt::format("{:>12} {:>14}\n", "ignored", pixels.back());
}

void draw_chart(const std::string& path, const std::vector<std::int64_t>& pixels,
                const std::vector<std::string>& names) {
  const auto all = std::accumulate(pixels.begin(), pixels.end() - 1, std::int64_t{0});
  BarPlot plot{.title = "Pixels by class, training set",
               .y_label = "share of pixels",
               .labels = names,
               .values = {},
               .y_max = {},
               .percent = true};
  for (std::size_t k = 0; k < names.size(); ++k)
    plot.values.push_back(all ? double(pixels[k]) / double(all) : 0.0);
  draw_bars(path, plot);
}

int stats(const DataSettings& s) {
  const Dataset data = open_dataset(s.folder, {s.val_fraction, s.common.seed});
  const LabelMap map = label_map_of(label_options(s), data.splits);
  const auto names = class_names(s.synth.classes);
  nlohmann::ordered_json json;
  for (const Split& split : data.splits) {
    const BandStatistics bands = band_statistics(split.samples, threads());
    const auto pixels = count_class_pixels(split.samples, map, threads());
    print_result(s.common, fmt::format("{}: {} pairs\n{}{}", split.name, split.samples.size(),
                                       band_table(bands), class_table(pixels, names)));
    json[split.name] = {{"pairs", split.samples.size()},
                        {"mean", bands.mean},
                        {"std", bands.std},
                        {"min", bands.min},
                        {"max", bands.max},
                        {"class_pixels", pixels}};
    if (split.name == "train") draw_chart(s.chart, pixels, names);
  }
  say("chart: {}", printable(s.chart));
  write_json(s.common, json);
  return 0;
}

}  // namespace

int examine(const CommonFlags& common, const std::string& data, const DoctorOptions& options) {
  const DoctorReport report = examine_dataset(data, options);
  print_result(common, to_text(report));
  nlohmann::ordered_json json = {{"errors", report.errors()}, {"warnings", report.warnings()}};
  json["faults"] = nlohmann::ordered_json::array();
  for (const Fault& fault : report.faults)
    json["faults"].push_back(
        {{"severity", fault.severity == Fault::Severity::error ? "error" : "warning"},
         {"slug", fault.slug},
         {"line", fault.line()}});
  write_json(common, json);
  return report.errors() ? static_cast<int>(ExitCode::dataset) : 0;
}

int handle_dataset(int argc, char** argv) {
  DataSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  if (s.what.empty() || s.folder.empty())
    throw Error(ExitCode::usage, "missing-argument", "fjord-data",
                "it needs a command and a folder",
                "fjord-data synth DIR, check DATA or stats DATA");
  apply_common_flags(s.common);
  if (s.what == "synth") return synth(s);
  if (s.what == "stats") return stats(s);
  return examine(
      s.common, s.folder,
      {.labels = label_options(s), .split = {s.val_fraction, s.common.seed}, .threads = threads()});
}

}  // namespace fjord
