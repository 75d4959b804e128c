// fjord-bench.
#include "tools/benchmark.h"

#include "kernels/rng.h"
#include "kernels/threads.h"
#include "tools/log.h"
#include "tools/progress.h"

namespace fjord {

namespace {

const ProgramText kText{"fjord-bench", "train|infer|conv|kernels|load [flags]",
                        "times one kind of work and prints it as JSON",
                        "  fjord-bench train --encoder resnet34 --size 256 --batch 8\n"
                        "  fjord-bench kernels --encoder resnet18 --size 512 --steps 20\n"
                        "  fjord-bench train --device cuda --size 512 --predict\n"};

void add_flags(Options& options, BenchSettings& s) {
  options.positional("what", &s.what,
                     {.choices = {"train", "infer", "conv", "kernels", "load"}, .saved = false});
  options.group("work");
  options.flag("size", &s.size, {.value = "N|HxW", .help = "of an image (256)"});
  options.flag("batch", &s.batch, {.value = "N", .help = "images a step (8)", .range = {1, 65536}});
  options.flag("steps", &s.steps, {.value = "N", .help = "timed (5)", .range = {1, 1e6}});
  options.flag("warmup", &s.warmup, {.value = "N", .help = "before them (2)", .range = {0, 1e6}});
  options.flag("profile", &s.profile, {.help = "where the time goes: by kind of work, by layer"});
  options.flag("predict", &s.predict, {.help = "a CUDA step, without a card"});
  options.group("beside others, in turns");
  options.flag("peers", &s.peers, {.value = "V", .help = "a Python environment with them"});
  options.flag("peers-dir", &s.peers_dir, {.value = "DIR", .help = "their scripts (FJORD_PEERS)"});
  options.flag("peer", &s.peer, {.value = "NAME", .help = "one of them (all); repeat"});
  options.flag("turns", &s.turns, {.value = "N", .help = "(5)", .range = {1, 1000}});
  add_model_flags(options, s.model);
  add_compute_flags(options, s.compute_flags);
  add_common_flags(options, s.common);
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

nlohmann::ordered_json bench_network(const BenchSettings& s, BenchClock::time_point start) {
  const RecordedOptions options = recorded_options(s);
  Recorded recorded(options);
  const double planned = static_cast<double>(recorded.planned_bytes()) / 1048576.0;
  say("memory: {:.0f} MiB planned", planned);
  fill(recorded, options.image, s.common.seed);
  const Timing timing = time_steps(s, start, [&] { recorded.run(); });
  if (s.profile) print_profile(s, recorded);
  return report(s, timing, planned);
}

void check_settings(const BenchSettings& s) {
  if (s.what.empty())
    throw Error(ExitCode::usage, "missing-argument", "fjord-bench", "it is not said what to time",
                "fjord-bench train, infer, conv, kernels or load");
  if (!s.peers && (s.peers_dir || !s.peer.empty()))
    throw Error(ExitCode::usage, "flag-value", "--peers-dir or --peer", "nobody is compared with",
                "add --peers V");
  if (s.what == "conv" && s.common.device == "cuda")
    throw Error(ExitCode::usage, "flag-value", "--device cuda",
                "conv compares what the CPU can choose from, where a card has one choice",
                "fjord-bench kernels --device cuda, or conv --device cpu");
  if (s.predict && s.what != "train" && s.what != "infer")
    throw Error(ExitCode::usage, "flag-value", "--predict", "a step of train or infer is predicted",
                "fjord-bench train --device cuda --predict");
  if (s.predict && s.common.device != "cuda")
    throw Error(ExitCode::usage, "flag-value", "--predict", "it is CUDA's step that is predicted",
                "add --device cuda");
  if (s.size == ImageSize{0, 0})
    throw Error(ExitCode::usage, "flag-value", "--size 0", "a benchmark needs a size",
                "give --size 256");
  check_compute_flags(s.compute_flags, s.common);
}

// Starts the device; a step that is only predicted needs none.
void prepare(BenchSettings& s) {
  if (s.what == "conv" && s.common.device == "auto") s.common.device = "cpu";
  check_settings(s);
  if (!s.predict) {
    apply_common_flags(s.common);
    s.compute = start_compute(s.common, s.compute_flags);
    return;
  }
  CommonFlags host = s.common;
  host.device = "cpu";
  apply_common_flags(host);
  s.compute = {Backend::cuda, precision_of(s.compute_flags.precision.value_or("bf16"))};
  s.compute.activations = activations_of(s.compute_flags);
}

nlohmann::ordered_json work_of_flags(const BenchSettings& s, BenchClock::time_point start) {
  if (s.predict) return bench_predict(s);
  if (s.peers) return bench_peers(s);
  if (s.what == "load") return bench_load(s, start);
  if (s.what == "conv") return bench_conv(s, start);
  return s.what == "kernels" ? bench_kernels(s) : bench_network(s, start);
}

}  // namespace

RecordedOptions recorded_options(const BenchSettings& s) {
  const ModelOptions model = model_options_of(s.model, 3);
  return {.model = model,
          .image = {s.batch, s.size.height, s.size.width, model.in_channels},
          .mode = s.what == "infer" ? Mode::eval : Mode::train,
          .backend = s.compute.backend,
          .precision = s.compute.precision,
          .algorithm = s.compute.algorithm,
          .filters = s.compute.filters,
          .activations = s.compute.activations,
          .loss = model.classes > 1 ? "0.5*dice+0.5*softce" : "0.5*dice+0.5*bce",
          .seed = s.common.seed};
}

nlohmann::ordered_json report_head(const BenchSettings& s) {
  return {{"what", s.what},
          {"model", s.model.arch + "-" + s.model.encoder},
          {"size", to_string(s.size)},
          {"batch", s.batch},
          {"device", to_string(s.compute.backend)},
          {"threads", threads()},
          {"precision", to_string(s.compute.precision)}};
}

nlohmann::ordered_json report(const BenchSettings& s, const Timing& timing, double planned_mib) {
  nlohmann::ordered_json json = report_head(s);
  json.update({{"median_ms", timing.median() * 1e3},
               {"min_ms", timing.seconds.front() * 1e3},
               {"images_per_s", s.batch / timing.median()},
               {"first_result_s", timing.first_result},
               {"peak_rss_mib", peak_resident_mib()},
               {"planned_mib", planned_mib}});
  return json;
}

int benchmark(int argc, char** argv) {
  const auto start = BenchClock::now();
  BenchSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  s.arguments.assign(argv, argv + argc);
  prepare(s);
  const nlohmann::ordered_json json = work_of_flags(s, start);
  // JSON is what this program prints: on stdout unless --json names a file.
  if (s.common.json.empty() && !s.predict && !s.peers) s.common.json.push_back('-');
  write_json(s.common, json);
  return 0;
}

}  // namespace fjord
