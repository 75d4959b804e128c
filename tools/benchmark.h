// fjord-bench: how long a training step, a forward pass, each convolution, each kernel or the
// loader takes.
#pragma once

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/compute.h"
#include "tools/model_flags.h"
#include "tools/program.h"
#include "tools/recorded.h"

namespace fjord {

struct BenchSettings {
  CommonFlags common;
  ModelFlags model;
  ComputeFlags compute_flags;
  std::string what, data;
  ImageSize size{256, 256};
  int batch = 8, steps = 5, warmup = 2;
  bool profile = false, predict = false;
  std::optional<std::string> peers, peers_dir;
  std::vector<std::string> peer;  // of those; empty: all
  int turns = 5;
  std::vector<std::string> arguments = {};  // the command line
  Compute compute = {};                     // what the flags come to
};

using BenchClock = std::chrono::steady_clock;

inline double seconds_since(BenchClock::time_point start) {
  return std::chrono::duration<double>(BenchClock::now() - start).count();
}

/// Of sorted values.
inline double median_of(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }

struct Timing {
  std::vector<double> seconds;  // of the timed steps, sorted
  double first_result = 0;
  double median() const { return median_of(seconds); }
};

/// start: when the program began, for the time until the first result.
template <class Body>
Timing time_steps(const BenchSettings& s, BenchClock::time_point start, Body body) {
  Timing timing;
  for (int i = 0; i < s.warmup + s.steps; ++i) {
    const auto begin = BenchClock::now();
    body();
    if (i == 0) timing.first_result = seconds_since(start);
    if (i >= s.warmup) timing.seconds.push_back(seconds_since(begin));
  }
  std::sort(timing.seconds.begin(), timing.seconds.end());
  return timing;
}

/// What the network of the flags is recorded with.
RecordedOptions recorded_options(const BenchSettings& s);
/// The keys that every kind of work reports first: what, model, size, batch, device, precision.
nlohmann::ordered_json report_head(const BenchSettings& s);
nlohmann::ordered_json report(const BenchSettings& s, const Timing& timing, double planned_mib);

nlohmann::ordered_json bench_load(const BenchSettings& s, BenchClock::time_point start);
/// Each kind of convolution of the step by itself, as chosen and by direct sums, in turns.
nlohmann::ordered_json bench_conv(const BenchSettings& s, BenchClock::time_point start);
/// The table of what bench_conv found, with a column for a peer where there is one.
std::string layer_table(const nlohmann::ordered_json& layers);
/// The same work beside the scripts of --peers, in turns.
nlohmann::ordered_json bench_peers(const BenchSettings& s);
/// Each kind of kernel of the step by itself: bytes a second, beside those of a large copy.
nlohmann::ordered_json bench_kernels(const BenchSettings& s);
/// The CUDA step on known cards, without one.
nlohmann::ordered_json bench_predict(const BenchSettings& s);

/// Prints what the steps take one by one, beside all of them as a whole.
void print_profile(const BenchSettings& s, Recorded& recorded);

/// Returns the exit code. Throws Error.
int benchmark(int argc, char** argv);

}  // namespace fjord
