// fjord-bench conv: every kind of convolution of a step by itself, as the backend's rule chooses it
// and by direct sums, in turns.
#include <map>
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
  return seconds[seconds.size() / 2];
}

// Median seconds of that step in both.
std::pair<double, double> in_turns(const BenchSettings& s, Recorded& a, Recorded& b,
                                   std::size_t step, Stream& stream) {
  std::vector<double> of_a, of_b;
  for (int i = 0; i < s.warmup + s.steps; ++i) {
    const double first = seconds_of(a, step, stream), second = seconds_of(b, step, stream);
    if (i >= s.warmup) of_a.push_back(first), of_b.push_back(second);
  }
  return {median(of_a), median(of_b)};
}

}  // namespace

nlohmann::ordered_json bench_conv(const BenchSettings& s, BenchClock::time_point start) {
  RecordedOptions options = recorded_options(s);
  options.activations = Activations::kept;  // convolutions that are run again are no other ones
  Recorded chosen(options);
  options.algorithm = ConvAlgorithm::direct;
  Recorded direct(options);
  const Timing timing = time_steps(s, start, [&] { chosen.run(); });
  direct.run();  // so that every tensor has values
  Stream stream = fjord::stream(s.compute.backend);
  const double peak = s.compute.backend == Backend::cpu ? peak_flops() : 0;
  if (peak > 0) print_result(s.common, fmt::format("peak: {:.0f} GFLOP/s\n", peak * 1e-9));
  print_result(s.common, fmt::format("{:>5} {:>8} {:>8} {:>6} {:>9} {:>6}  {:<20} {:<20} {}\n",
                                     "steps", "ms", "GFLOP/s", "% peak", "direct ms", "ratio",
                                     "implementation", "pass", "the first of them"));
  for (const Row& row : kinds_of(*chosen.tape)) {
    const Step& own = chosen.tape->steps[row.step];
    const auto [seconds, direct_seconds] = in_turns(s, chosen, direct, row.step, stream);
    const double rate = 2.0 * static_cast<double>(multiply_adds(own)) / seconds;
    print_result(
        s.common,
        fmt::format("{:>5} {:>8.3f} {:>8.0f} {:>6.0f} {:>9.3f} {:>6.2f}  {:<20} {:<20} {}\n",
                    row.count, seconds * 1e3, rate * 1e-9, peak > 0 ? 100 * rate / peak : 0,
                    direct_seconds * 1e3, direct_seconds / seconds, own.implementation, own.op,
                    own.path));
  }
  return report(s, timing, static_cast<double>(chosen.planned_bytes()) / 1048576.0);
}

}  // namespace fjord
