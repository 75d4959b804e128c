// fjord-bench conv: every kind of convolution of a step by itself, as the backend's rule chooses it
// and by direct sums of its library (oneDNN), in turns.
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd/loops.h"
#include "kernels/device.h"
#include "kernels/threads.h"
#include "tools/benchmark.h"
#include "tools/log.h"

namespace fjord {

namespace {

// Multiply-adds of registers with the first-level cache, on all threads: the most that any
// convolution can reach.
double peak_flops() {
  const WinogradLoops& loops = winograd_loops();
  constexpr std::int64_t kDepth = 128, kCalls = 20000;
  const std::int64_t rows = loops.wide_rows, panel = 2 * loops.width;
  const auto work = [&] {
    parallel_for(threads(), [&](std::int64_t) {
      const std::vector<float> values(static_cast<std::size_t>(2 * kDepth * panel + 16), 0.5f);
      const float* data =
          values.data() + 16 - reinterpret_cast<std::uintptr_t>(values.data()) / 4 % 16;
      alignas(64) float products[64 * 64];
      for (std::int64_t i = 0; i < kCalls; ++i)
        loops.multiply(
            {rows, kDepth, 2, data, rows * loops.width, data, products, rows * loops.width});
    });
  };
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const auto begin = BenchClock::now();
    work();
    best = std::max(best, 2.0 * static_cast<double>(threads() * kCalls * rows * kDepth * panel) /
                              seconds_since(begin));
  }
  return best;
}

struct Row {
  std::size_t step = 0;  // one of them
  int count = 0;
  double seconds = 0, library_seconds = 0;
};

// Convolutions that differ in nothing but their place in the network.
std::vector<Row> kinds_of(const Tape& tape) {
  std::map<std::string, Row> kinds;
  for (std::size_t i = 0; i < tape.steps.size(); ++i) {
    const Step& step = tape.steps[i];
    if (multiply_adds(step) == 0) continue;
    std::string key = step.op + step.implementation;
    for (const Slot* slot : step.reads) key += " " + to_string(slot->shape);
    key += " " + to_string(step.writes[0]->shape);
    Row& row = kinds[key];
    row.step = i, row.count += 1;
  }
  std::vector<Row> rows;
  for (const auto& [key, row] : kinds) rows.push_back(row);
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.step < b.step; });
  return rows;
}

double seconds_of(Recorded& recorded, std::size_t step, Stream& stream) {
  const auto begin = BenchClock::now();
  recorded.plan->run_step(step);
  device(stream.backend).synchronize(stream);
  return seconds_since(begin);
}

double median(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return median_of(seconds);
}

// The step of the same name and place on another tape, where others stand between: the library's
// convolutions read through no normalisation.
std::size_t like(const Step& step, const Tape& tape) {
  const auto found = std::ranges::find_if(tape.steps, [&](const Step& other) {
    return std::strcmp(other.op, step.op) == 0 && other.path == step.path;
  });
  check(found != tape.steps.end(), step.path, "the library's convolutions have no step {}",
        step.op);
  return static_cast<std::size_t>(found - tape.steps.begin());
}

// Median seconds of that step of a, and of the step like it of b.
std::pair<double, double> in_turns(const BenchSettings& s, Recorded& a, Recorded& b,
                                   std::size_t step, Stream& stream) {
  const std::size_t same = like(a.tape->steps[step], *b.tape);
  std::vector<double> of_a, of_b;
  for (int i = 0; i < s.warmup + s.steps; ++i) {
    const double first = seconds_of(a, step, stream), second = seconds_of(b, same, stream);
    if (i >= s.warmup) of_a.push_back(first), of_b.push_back(second);
  }
  return {median(of_a), median(of_b)};
}

bool is_transposed(const Step& step) {
  return std::string_view(step.op).starts_with("conv_transpose_");
}

// The convolution whose pass a step is, as it was recorded.
const Word& word_of(const Tape& tape, const Step& step) {
  const char* op = is_transposed(step) ? "conv_transpose2d" : "conv2d";
  const auto found = std::ranges::find_if(
      tape.words, [&](const Word& word) { return word.op == op && word.path == step.path; });
  check(found != tape.words.end(), step.path, "no convolution is recorded for {}", step.op);
  return *found;
}

// Forward, backward_data or backward_filter.
std::string pass_of(const Step& step) {
  const std::string op = step.op;
  const std::string before = is_transposed(step) ? "conv_transpose_" : "conv_";
  return op.substr(op.find(before) + before.size());
}

nlohmann::ordered_json layer_of(const Tape& tape, const Row& row, double peak) {
  const Step& step = tape.steps[row.step];
  const Word& word = word_of(tape, step);
  const auto sizes = [](Shape s) { return nlohmann::ordered_json{s.n, s.h, s.w, s.c}; };
  double bytes = 0;
  for (const auto& slots : {step.reads, step.writes})
    for (const Slot* slot : slots)
      if (slot->kind != Kind::scratch) bytes += static_cast<double>(slot->bytes());
  const double rate = 2.0 * static_cast<double>(multiply_adds(step)) / row.seconds;
  nlohmann::ordered_json layer{{"path", step.path},
                               {"count", row.count},
                               {"pass", pass_of(step)},
                               {"implementation", step.implementation},
                               {"x", sizes(word.inputs[0]->shape)},
                               {"weight", sizes(word.inputs[1]->shape)}};
  for (const char* key : {"stride", "padding"}) layer[key] = word.integer(key);
  const bool transposed = is_transposed(step);  // these are of one group and undilated
  for (const char* key : {"dilation", "groups"}) layer[key] = transposed ? 1 : word.integer(key);
  layer.update({{"transposed", transposed},
                {"ms", row.seconds * 1e3},
                {"direct_ms", row.library_seconds * 1e3},
                {"gflop_s", rate * 1e-9},
                {"percent_of_peak", 100 * rate / peak},
                {"mb", bytes * 1e-6}});
  return layer;
}

}  // namespace

std::string layer_table(const nlohmann::ordered_json& layers) {
  const bool peer = !layers.empty() && layers[0].contains("pytorch_ms");
  std::string text = fmt::format("{:>5} {:>8} {:>8} {:>6} {:>8} {:>9} {:>6}{}  {:<16} {:<20} {}\n",
                                 "steps", "ms", "GFLOP/s", "% peak", "MB", "direct ms", "ratio",
                                 peer ? fmt::format(" {:>10} {:>6}", "PyTorch ms", "ratio") : "",
                                 "pass", "implementation", "the first of them");
  for (const auto& layer : layers) {
    const auto number = [&](const char* key) { return layer.at(key).get<double>(); };
    const auto name = [&](const char* key) { return layer.at(key).get<std::string>(); };
    const double ms = number("ms");
    text += fmt::format(
        "{:>5} {:>8.3f} {:>8.0f} {:>6.0f} {:>8.1f} {:>9.3f} {:>6.2f}{}  {:<16} {:<20} {}\n",
        layer.at("count").get<int>(), ms, number("gflop_s"), number("percent_of_peak"),
        number("mb"), number("direct_ms"), number("direct_ms") / ms,
        peer ? fmt::format(" {:>10.3f} {:>6.2f}", number("pytorch_ms"), number("pytorch_ms") / ms)
             : "",
        name("pass"), name("implementation"), name("path"));
  }
  return text;
}

nlohmann::ordered_json bench_conv(const BenchSettings& s, BenchClock::time_point start) {
  RecordedOptions options = recorded_options(s);
  options.activations = Activations::kept;  // convolutions that are run again are no other ones
  Recorded chosen(options);
  options.algorithm = ConvAlgorithm::library;
  Recorded library(options);
  const Timing timing = time_steps(s, start, [&] { chosen.run(); });
  library.run();  // so that every tensor has values
  Stream stream = fjord::stream(s.compute.backend);
  const double peak = peak_flops();
  auto layers = nlohmann::ordered_json::array();
  for (Row& row : kinds_of(*chosen.tape)) {
    std::tie(row.seconds, row.library_seconds) = in_turns(s, chosen, library, row.step, stream);
    layers.push_back(layer_of(*chosen.tape, row, peak));
  }
  print_result(s.common, fmt::format("peak: {:.0f} GFLOP/s\n", peak * 1e-9));
  print_result(s.common, layer_table(layers));
  auto json = report(s, timing, static_cast<double>(chosen.planned_bytes()) / 1048576.0);
  json.update({{"peak_gflop_s", peak * 1e-9}, {"layers", layers}});
  return json;
}

}  // namespace fjord
