// fjord-bench --profile: where the time of a step goes, by kind of work and by layer, and what it
// moves.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "tools/benchmark.h"
#include "tools/roofline.h"

namespace fjord {

namespace {

struct Row {
  std::string name;
  double seconds = 0;
  std::int64_t steps = 0, work = 0;  // work: multiply-adds
  double bytes = 0;
};

// Of one turn: a step one by one, then a step as a whole.
struct Turn {
  std::vector<double> seconds;  // of each step of the tape, and of the optimizer
  double sum = 0;               // of these
  double whole = 0;
};

// The turn whose sum beside its whole is the median of all: a machine's speed drifts between turns.
Turn measured(const BenchSettings& s, Recorded& recorded) {
  std::vector<Turn> turns;
  for (int i = 0; i < s.steps; ++i) {
    Turn turn{recorded.step_seconds()};
    turn.sum = std::accumulate(turn.seconds.begin(), turn.seconds.end(), 0.0);
    const auto start = BenchClock::now();
    recorded.run();
    turn.whole = seconds_since(start);
    turns.push_back(std::move(turn));
  }
  std::sort(turns.begin(), turns.end(),
            [](const Turn& a, const Turn& b) { return a.sum / a.whole < b.sum / b.whole; });
  return turns[turns.size() / 2];
}

std::string kind_of(const Step& step) {
  const char* by = step.implementation.empty() ? "" : ", ";
  return step.op + std::string(by) + step.implementation;
}

std::string layer_of(const Step& step) {
  const Shape y = step.writes.empty() ? Shape{} : step.writes[0]->shape;
  return fmt::format("{}{}, {}x{}x{}", step.path, step.op, y.h, y.w, y.c);
}

constexpr double kMiB = 1048576;

// What each step reads and writes, without scratch, which is mostly cached; then the optimizer.
std::vector<double> moved_bytes(const Recorded& recorded) {
  std::vector<double> bytes;
  for (const Work& work : work_of(*recorded.tape)) bytes.push_back(work.bytes - work.scratch);
  double optimizer = 0;
  for (const Work& work : optimizer_work(recorded.parameters.weight_count(), DType::f32))
    optimizer += work.bytes;
  bytes.push_back(optimizer);
  return bytes;
}

// The same if every tensor that is not scratch were written once and read once.
double least_bytes(const Recorded& recorded) {
  std::set<const Slot*> read, written;
  for (const Step& step : recorded.tape->steps) {
    read.insert(step.reads.begin(), step.reads.end());
    written.insert(step.writes.begin(), step.writes.end());
  }
  double bytes = 0;
  for (const auto& slots : {read, written})
    for (const Slot* slot : slots)
      if (slot->kind != Kind::scratch) bytes += static_cast<double>(slot->bytes());
  return bytes;
}

std::string to_line(const Row& row, double whole) {
  const std::string rate =
      row.work ? fmt::format("{:.0f}", 2e-9 * double(row.work) / row.seconds) : "-";
  return fmt::format("{:>10.2f} {:>6.1f} {:>6} {:>9} {:>8.1f}  {}\n", row.seconds * 1e3,
                     100 * row.seconds / whole, row.steps, rate, row.bytes / kMiB, row.name);
}

// Slowest first; what takes less than a hundredth of the whole in one line.
std::string table_of(std::vector<Row> rows, double whole, const char* title) {
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  std::string text = fmt::format("{:>10} {:>6} {:>6} {:>9} {:>8}  {}\n", "ms", "%", "steps",
                                 "GFLOP/s", "MiB", title);
  Row rest{"what takes less than 1 % each"};
  for (const Row& row : rows) {
    if (row.seconds >= 0.01 * whole) {
      text += to_line(row, whole);
      continue;
    }
    rest.seconds += row.seconds, rest.steps += row.steps, rest.work += row.work;
    rest.bytes += row.bytes;
  }
  return rest.steps ? text + to_line(rest, whole) : text;
}

}  // namespace

void print_profile(const BenchSettings& s, Recorded& recorded) {
  const auto [seconds, sum, whole] = measured(s, recorded);
  const std::vector<double> bytes = moved_bytes(recorded);
  const std::vector<Step>& steps = recorded.tape->steps;
  std::map<std::string, Row> kinds;
  std::vector<Row> layers;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const bool optimizer = i == steps.size();
    const std::int64_t work = optimizer ? 0 : multiply_adds(steps[i]);
    Row& kind = kinds[optimizer ? "optimizer" : kind_of(steps[i])];
    kind.seconds += seconds[i], kind.steps += 1, kind.work += work, kind.bytes += bytes[i];
    layers.push_back({optimizer ? "optimizer" : layer_of(steps[i]), seconds[i], 1, work, bytes[i]});
  }
  std::vector<Row> rows;
  for (auto& [name, row] : kinds) row.name = name, rows.push_back(row);
  print_result(s.common, table_of(rows, sum, "kind of work") + "\n");
  print_result(s.common, table_of(layers, sum, "layer, image that it writes") + "\n");
  print_result(s.common, fmt::format("{:>10.2f} ms one by one, {:.2f} ms as a whole ({:+.1f} %)\n",
                                     sum * 1e3, whole * 1e3, 100 * (sum / whole - 1)));
  const double moved = std::accumulate(bytes.begin(), bytes.begin() + std::ssize(steps), 0.0);
  print_result(
      s.common,
      fmt::format("{:>10.0f} MiB read and written by the steps; {:.0f} MiB if each of their "
                  "tensors were written once and read once\n",
                  moved / kMiB, least_bytes(recorded) / kMiB));
}

}  // namespace fjord
