// fjord-evaluate.
#include "tools/evaluation.h"

#include <chrono>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/sample.h"
#include "engine/image_scores_report.h"
#include "engine/metrics_report.h"
#include "kernels/threads.h"
#include "tools/batches.h"
#include "tools/compute.h"
#include "tools/files.h"
#include "tools/log.h"
#include "tools/network.h"
#include "tools/program.h"

namespace fjord {

namespace {

const ProgramText kText{"fjord-evaluate", "MODEL DATA [flags]   (DATA holds images/ and labels/)",
                        "scores a model, or label images, pixel by pixel",
                        "  fjord-evaluate runs/buildings-unet-resnet34-001 data/buildings/test\n"
                        "  fjord-evaluate model.safetensors data/test --encoder resnet18 --json -\n"
                        "  fjord-evaluate --predictions predictions data/test/labels\n"};

struct EvaluateSettings {
  CommonFlags common;
  ModelRequest request;
  ComputeFlags compute;
  std::vector<std::string> inputs;
  std::optional<std::string> predictions;
  double threshold = 0.5;
  int batch = 8;
  std::string score_at = "network";
  std::string labels;
  std::optional<double> label_threshold;
  std::optional<int> ignore_index;
  bool seed_report = false, details = false;
  std::optional<std::string> csv;
  std::vector<double> class_weights;
};

void add_flags(Options& options, EvaluateSettings& s) {
  options.positional("arguments", &s.inputs, {.saved = false});
  options.group("scoring");
  options.flag("threshold", &s.threshold,
               {.value = "P", .help = "of one class (0.5)", .range = {0, 1, true, true}});
  options.flag("batch", &s.batch,
               {.value = "N", .help = "images at once (8)", .range = {1, 65536}});
  options.flag("score-at", &s.score_at,
               {.value = "SIZE", .help = "network, native", .choices = {"network", "native"}});
  options.flag("predictions", &s.predictions, {.value = "DIR", .help = "score its label images"});
  options.flag("seed-report", &s.seed_report, {.help = "the seven figures"});
  options.flag("details", &s.details, {.help = "images, borders, calibration, smp.metrics"});
  options.flag("csv", &s.csv, {.value = "FILE", .help = "a row for each image and class"});
  options.flag("class-weights", &s.class_weights,
               {.value = "LIST",
                .help = "of --details, one a class",
                .range = {0, std::numeric_limits<double>::infinity(), true, false}});
  options.flag("labels", &s.labels, {.value = "MAP", .help = "\"1:0,2:1,255:ignore\""});
  options.flag("label-threshold", &s.label_threshold,
               {.value = "T", .help = "foreground from T up", .range = {0, 65535}});
  options.flag("ignore-index", &s.ignore_index,
               {.value = "N", .help = "label not counted", .range = {0, 65535}});
  add_request_flags(options, s.request);
  add_compute_flags(options, s.compute);
  add_common_flags(options, s.common);
  options.conflict("predictions", "size", "label images are scored as they are");
  options.conflict("predictions", "score-at", "label images are scored as they are");
}

bool own_labels(const EvaluateSettings& s) {
  return !s.labels.empty() || s.label_threshold || s.ignore_index;
}

// The model's own map where it is a special one; the plain ones follow the labels at hand.
LabelMap label_map(const EvaluateSettings& s, const ModelRecord& record, const Split& split) {
  const int classes = record.model.classes;
  const bool plain = !record.labels || *record.labels == LabelMap::binary(1) ||
                     *record.labels == LabelMap::binary(255);
  if (!own_labels(s) && !plain) return *record.labels;
  return label_map_of({classes, s.labels, s.label_threshold, s.ignore_index}, {&split, 1});
}

ConfusionMatrix score_resized(Network& network, const EvaluateSettings& s, const Split& split,
                              const LabelMap& map) {
  const DType dtype = probe_image(split.samples.at(0).image,
                                  {.keep_alpha = network.record().model.in_channels == 4})
                          .dtype;
  LoaderSource source(split.samples, {.batch = s.batch,
                                      .framing = network.framing(),
                                      .augment = AugmentPolicy::none,
                                      .normalization = network.normalization(dtype),
                                      .labels = map,
                                      .threads = threads()});
  Shape shape = source.loader().sample_shape();
  shape.n = s.batch;
  const Scores scores = network.evaluator().score(source, shape, network.record().model.classes,
                                                  s.threshold, nullptr);
  for (const std::string& note : source.loader().take_notes()) say(note);
  return scores.confusion;
}

struct Scored {
  ConfusionMatrix confusion;
  std::int64_t images = 0;
  int classes = 1;
  std::optional<ImageScores> details = {};
};

// One image at a time: sizes may differ, the score is at the label's own size, or of each image.
void score_each(Network& network, const EvaluateSettings& s, const Split& split,
                const LabelMap& map, Scored& scored) {
  std::vector<std::string> notes;
  for (const Sample& sample : split.samples) {
    const DecodedSample decoded =
        read_sample(sample, map, {}, network.record().model.in_channels, notes);
    const Logits logits = network.run(decoded.image);
    const bool native = s.score_at == "native";
    const int height = native ? decoded.image.height : logits.height;
    const int width = native ? decoded.image.width : logits.width;
    const std::vector<std::uint8_t> truth =
        resize_label(decoded.classes, decoded.image.height, decoded.image.width, height, width);
    const Logits resized = resize_logits(logits, height, width);
    const std::vector<std::uint8_t> found = classes_of(resized, s.threshold);
    scored.confusion.add(truth, found);
    if (!scored.details) continue;
    scored.details->add(sample.stem, truth, found, height, width);
    scored.details->add_logits(truth, found, resized.values);
  }
  std::sort(notes.begin(), notes.end());
  notes.erase(std::unique(notes.begin(), notes.end()), notes.end());
  for (const std::string& note : notes) say(note);
}

// Nothing scored yet, of that many channels of logits.
Scored nothing_scored(const EvaluateSettings& s, const Split& split, int channels) {
  Scored scored{ConfusionMatrix(channels), static_cast<std::int64_t>(split.samples.size()),
                channels};
  if (s.details || s.csv) scored.details.emplace(channels);
  if (!s.class_weights.empty() && static_cast<int>(s.class_weights.size()) != channels)
    throw Error(ExitCode::usage, "class-weights",
                fmt::format("--class-weights has {} numbers", s.class_weights.size()),
                fmt::format("the scores are of {} class{}", channels, channels == 1 ? "" : "es"),
                "give as many as there are classes");
  return scored;
}

Scored score_model(EvaluateSettings& s) {
  if (s.inputs.size() != 2)
    throw Error(ExitCode::usage, "arguments", fmt::format("{} arguments", s.inputs.size()),
                "a model and the folder of a split are needed",
                "fjord-evaluate MODEL DATA/test, or --predictions DIR LABELS");
  s.request.path = s.inputs[0];
  std::vector<std::string> notes;
  const Split split = open_split(s.inputs[1], notes);
  for (const std::string& note : notes) say(note);
  Network network(s.request);
  const LabelMap map = label_map(s, network.record(), split);
  say("{} images, {}", split.samples.size(), to_string(network.framing()));
  Scored scored = nothing_scored(s, split, network.record().model.classes);
  const Framing framing = network.framing();
  const int divisor = size_divisor(network.record().model);
  const bool fits = framing.height % divisor == 0 && framing.width % divisor == 0;
  if (framing.resizes() && fits && s.score_at == "network" && !scored.details)
    scored.confusion = score_resized(network, s, split, map);
  else
    score_each(network, s, split, map, scored);
  return scored;
}

std::map<std::string, std::filesystem::path> images_by_stem(const std::filesystem::path& folder) {
  std::vector<Fault> faults;
  const std::filesystem::path labels =
      std::filesystem::is_directory(folder / "labels") ? folder / "labels" : folder;
  std::map<std::string, std::filesystem::path> found;
  for (const FileEntry& file : list_files(labels, faults))
    if (file.regular && has_image_extension(file.path))
      found[file.path.stem().string()] = file.path;
  if (!faults.empty()) throw_fault(faults.front());
  if (found.empty())
    throw Error(ExitCode::dataset, "no-images", printable(labels.string()), "holds no label images",
                "check the path");
  return found;
}

// The split whose "images" are predictions and whose labels are the truth.
Split paired_labels(const EvaluateSettings& s) {
  const auto truth = images_by_stem(s.inputs[0]), found = images_by_stem(*s.predictions);
  Split split{"predictions", s.inputs[0], {}};
  for (const auto& [stem, path] : truth) {
    const auto prediction = found.find(stem);
    if (prediction == found.end())
      throw Error(ExitCode::dataset, "unpaired", printable(path.string()),
                  fmt::format("has no prediction of that name in {}", printable(*s.predictions)),
                  "predict every image, or score a folder with those labels only");
    split.samples.push_back({stem, prediction->second, path});
  }
  return split;
}

Scored score_predictions(const EvaluateSettings& s) {
  if (s.inputs.size() != 1)
    throw Error(ExitCode::usage, "arguments", fmt::format("{} arguments", s.inputs.size()),
                "--predictions DIR needs the folder of the true labels and nothing else",
                "fjord-evaluate --predictions DIR LABELS");
  const Split split = paired_labels(s);
  Split predictions = split;
  for (Sample& sample : predictions.samples) sample.label = sample.image;
  const LabelOptions options{s.request.flags.classes.value_or(1), s.labels, s.label_threshold,
                             s.ignore_index};
  const LabelMap truth_map = label_map_of(options, {&split, 1});
  const LabelMap found_map = label_map_of(options, {&predictions, 1});
  Scored scored = nothing_scored(s, split, options.classes);
  std::vector<std::string> notes;
  for (const Sample& sample : split.samples) {
    const ReadOptions read{.purpose = Purpose::label, .label_threshold = s.label_threshold};
    const Image truth = read_image(sample.label, read), found = read_image(sample.image, read);
    check_label_size(sample, found.height, found.width, truth.height, truth.width);
    const auto own = to_classes(truth_map, truth, sample.label, notes);
    const auto guess = to_classes(found_map, found, sample.image, notes);
    scored.confusion.add(own, guess);
    if (scored.details) scored.details->add(sample.stem, own, guess, truth.height, truth.width);
  }
  return scored;
}

}  // namespace

int evaluate(int argc, char** argv) {
  EvaluateSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  options.check_conflicts();
  if (!s.class_weights.empty() && !s.details)
    throw Error(ExitCode::usage, "conflict", "--class-weights without --details",
                "they weigh the scores of smp.metrics, which --details adds to the JSON",
                "add --details, or leave --class-weights out");
  check_compute_flags(s.compute, s.common);
  apply_common_flags(s.common);
  if (!s.predictions) s.request.compute = start_compute(s.common, s.compute);
  const auto start = std::chrono::steady_clock::now();
  const Scored scored = s.predictions ? score_predictions(s) : score_model(s);
  const Metrics metrics = scored.confusion.metrics();
  print_result(s.common, to_table(metrics));
  nlohmann::ordered_json json = to_json(metrics, scored.confusion);
  json["images"] = scored.images;
  json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (s.seed_report) {
    const SeedReport report = seed_report(metrics);
    print_result(s.common, to_table(report));
    json["seed_report"] = to_json(report);
  }
  if (s.details) {
    print_result(s.common, to_table(*scored.details));
    json.update(to_json(*scored.details, s.class_weights));
  }
  if (s.csv) write_file_atomically(*s.csv, to_csv(*scored.details));
  write_json(s.common, json);
  return 0;
}

}  // namespace fjord
