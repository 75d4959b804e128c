// fjord-bench.
#include "tools/benchmark.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "data/synth.h"
#include "kernels/rng.h"
#include "kernels/threads.h"
#include "tools/batches.h"
#include "tools/log.h"
#include "tools/model_flags.h"
#include "tools/model_record.h"
#include "tools/program.h"
#include "tools/progress.h"
#include "tools/recorded.h"

namespace fjord {

namespace {

using Clock = std::chrono::steady_clock;

const ProgramText kText{"fjord-bench", "train|infer|conv|load [flags]",
                        "times one kind of work and prints it as JSON",
                        "  fjord-bench train --encoder resnet34 --size 256 --batch 8\n"
                        "  fjord-bench infer --encoder resnet18 --size 512 --batch 1 --steps 20\n"
                        "  fjord-bench train --encoder resnet34 --size 256 --profile\n"};

struct BenchSettings {
  CommonFlags common;
  ModelFlags model;
  ComputeFlags compute;
  std::string what, data;
  ImageSize size{256, 256};
  int batch = 8, steps = 5, warmup = 2;
  bool profile = false, predict = false;
  std::optional<std::string> peers;
};

void add_flags(Options& options, BenchSettings& s) {
  options.positional("what", &s.what,
                     {.choices = {"train", "infer", "conv", "load"}, .saved = false});
  options.group("work");
  options.flag("size", &s.size, {.value = "N|HxW", .help = "of an image (256)"});
  options.flag("batch", &s.batch, {.value = "N", .help = "images a step (8)", .range = {1, 65536}});
  options.flag("steps", &s.steps, {.value = "N", .help = "timed (5)", .range = {1, 1e6}});
  options.flag("warmup", &s.warmup, {.value = "N", .help = "before them (2)", .range = {0, 1e6}});
  options.flag("profile", &s.profile, {.help = "a table by kind of work"});
  options.flag("predict", &s.predict, {});
  options.flag("peers", &s.peers, {.value = "V"});
  add_model_flags(options, s.model);
  add_compute_flags(options, s.compute);
  add_common_flags(options, s.common);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Timing {
  std::vector<double> seconds;  // of the timed steps, sorted
  double first_result = 0;
  double median() const { return seconds[seconds.size() / 2]; }
};

// start: when the program began, for the time until the first result.
template <class Body>
Timing time_steps(const BenchSettings& s, Clock::time_point start, Body body) {
  Timing timing;
  for (int i = 0; i < s.warmup + s.steps; ++i) {
    const auto begin = Clock::now();
    body();
    if (i == 0) timing.first_result = seconds_since(start);
    if (i >= s.warmup) timing.seconds.push_back(seconds_since(begin));
  }
  std::sort(timing.seconds.begin(), timing.seconds.end());
  return timing;
}

nlohmann::ordered_json report(const BenchSettings& s, const Timing& timing, double planned_mib) {
  return {{"what", s.what},
          {"model", s.model.arch + "-" + s.model.encoder},
          {"size", to_string(s.size)},
          {"batch", s.batch},
          {"device", "cpu"},
          {"threads", threads()},
          {"precision", s.compute.precision},
          {"median_ms", timing.median() * 1e3},
          {"min_ms", timing.seconds.front() * 1e3},
          {"images_per_s", s.batch / timing.median()},
          {"first_result_s", timing.first_result},
          {"peak_rss_mib", peak_resident_mib()},
          {"planned_mib", planned_mib}};
}

void fill(Recorded& recorded, Shape image, std::uint64_t seed) {
  const Philox random(seed);
  float* values = recorded.images();
  for (std::int64_t i = 0; i < image.count(); ++i)
    values[i] =
        static_cast<float>(uniform(random.draw(Draw::augment, static_cast<std::uint32_t>(i >> 20),
                                               static_cast<std::uint32_t>(i), 0)[0]) *
                               2 -
                           1);
  if (std::uint8_t* labels = recorded.labels())
    for (std::int64_t i = 0; i < image.pixels(); ++i) labels[i] = values[i * image.c] > 0;
}

// Seconds by kind of step, or by convolution.
void print_profile(const BenchSettings& s, Recorded& recorded) {
  const std::vector<double> seconds = recorded.step_seconds();
  struct Row {
    double seconds = 0;
    std::int64_t steps = 0, work = 0;
  };
  std::map<std::string, Row> rows;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const Step& step = recorded.tape->steps[i];
    const std::int64_t work = multiply_adds(step);
    if (s.what == "conv" && work == 0) continue;
    Row& row = rows[s.what == "conv" ? step.path + " " + step.op : std::string(step.op)];
    row.seconds += seconds[i], row.steps += 1, row.work += work;
  }
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string text = fmt::format("{:>10} {:>6} {:>9}  {}\n", "ms", "steps", "GFLOP/s", "work");
  for (const auto& [name, row] : sorted)
    text += fmt::format(
        "{:>10.2f} {:>6} {:>9}  {}\n", row.seconds * 1e3, row.steps,
        row.work ? fmt::format("{:.0f}", 2e-9 * double(row.work) / row.seconds) : std::string("-"),
        name);
  print_result(s.common, text);
}

nlohmann::ordered_json bench_network(const BenchSettings& s, Clock::time_point start) {
  const ModelOptions model = model_options_of(s.model, 3);
  const Shape image{s.batch, s.size.height, s.size.width, model.in_channels};
  const bool multi = model.classes > 1;
  Recorded recorded({.model = model,
                     .image = image,
                     .mode = s.what == "infer" ? Mode::eval : Mode::train,
                     .loss = multi ? "0.5*dice+0.5*softce" : "0.5*dice+0.5*bce",
                     .seed = s.common.seed});
  const double planned = static_cast<double>(recorded.planned_bytes()) / 1048576.0;
  say("memory: {:.0f} MiB planned", planned);
  fill(recorded, image, s.common.seed);
  const Timing timing = time_steps(s, start, [&] { recorded.run(); });
  if (s.profile || s.what == "conv") print_profile(s, recorded);
  return report(s, timing, planned);
}

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

nlohmann::ordered_json bench_load(const BenchSettings& s, Clock::time_point start) {
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

void check_settings(const BenchSettings& s) {
  if (s.what.empty())
    throw Error(ExitCode::usage, "missing-argument", "fjord-bench", "it is not said what to time",
                "fjord-bench train, infer, conv or load");
  if (s.predict || s.peers)
    throw Error(ExitCode::usage, "not-yet", s.predict ? "--predict" : "--peers",
                "this build times its own CPU work only", "leave the flag out");
  if (s.size == ImageSize{0, 0})
    throw Error(ExitCode::usage, "flag-value", "--size 0", "a benchmark needs a size",
                "give --size 256");
  check_compute_flags(s.compute);
}

}  // namespace

int benchmark(int argc, char** argv) {
  const auto start = Clock::now();
  BenchSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  check_settings(s);
  apply_common_flags(s.common);
  announce_device(s.common);
  const nlohmann::ordered_json json =
      s.what == "load" ? bench_load(s, start) : bench_network(s, start);
  // JSON is what this program prints: on stdout unless --json names a file.
  if (s.common.json.empty()) s.common.json.push_back('-');
  write_json(s.common, json);
  return 0;
}

}  // namespace fjord
