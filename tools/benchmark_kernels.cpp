// fjord-bench kernels: each kind of kernel of a step by itself, against the speed of a large copy.
#include <map>

#include "kernels/device.h"
#include "kernels/pointwise.h"
#include "tools/benchmark.h"
#include "tools/log.h"
#include "tools/roofline.h"

namespace fjord {

namespace {

// Seconds of one call. Many calls are launched at once, so that neither the launch nor the wait
// counts.
double seconds_of(const BenchSettings& s, Stream& stream, const std::function<void()>& call) {
  Device& home = device(stream.backend);
  const auto many = [&] {
    for (int i = 0; i < s.steps; ++i) call();
  };
  call();
  const std::unique_ptr<Recording> recording = home.record(stream, many);
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) {
    home.synchronize(stream);
    const auto begin = BenchClock::now();
    recording ? recording->launch(stream) : many();
    home.synchronize(stream);
    seconds.push_back(seconds_since(begin) / s.steps);
  }
  return *std::min_element(seconds.begin(), seconds.end());
}

// Bytes a second of the backend's own copy, read and written together.
double copy_rate(const BenchSettings& s, Stream& stream) {
  const Shape shape{1, 1, 1, std::int64_t{1} << 26};
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * 4;
  const DeviceBlock from(stream.backend, bytes), to(stream.backend, bytes);
  const Buffer x{"x", shape, DType::f32, from.data()};
  Buffer y{"y", shape, DType::f32, to.data()};
  const double seconds = seconds_of(s, stream, [&] { copy_forward(In{&x}, Out{&y}, stream); });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

struct Row {
  double seconds = 0, bytes = 0, flops = 0;
  int steps = 0;
};

}  // namespace

nlohmann::ordered_json bench_kernels(const BenchSettings& s) {
  Recorded recorded(recorded_options(s));
  recorded.plan->bind();
  recorded.run();  // so that every tensor has values
  Stream stream = fjord::stream(s.compute.backend);
  const double copy = copy_rate(s, stream);
  const std::vector<Work> work = work_of(*recorded.tape);
  std::map<std::string, Row> rows;
  for (std::size_t i = 0; i < work.size(); ++i) {
    Row& row = rows[work[i].op];
    row.seconds += seconds_of(s, stream, [&] { recorded.plan->run_step(i); });
    row.bytes += work[i].bytes, row.flops += work[i].flops, row.steps += 1;
  }
  if (recorded.optimizer) {
    Row& row = rows["optimizer"];
    for (const Work& w :
         optimizer_work(recorded.parameters.weight_count(), recorded.tape->options.dtype))
      row.bytes += w.bytes;
    row.steps = 1;
    row.seconds =
        seconds_of(s, stream, [&] { recorded.optimizer->enqueue({recorded.loss_value()}); });
  }

  nlohmann::ordered_json json = report_head(s);
  json["copy_gb_s"] = copy * 1e-9;
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string text = fmt::format(
      "a copy of 256 MiB: {:.0f} GB/s. Smaller tensors may be in the cache.\n", copy * 1e-9);
  text += fmt::format("{:>10} {:>6} {:>9} {:>8} {:>7} {:>9}  {}\n", "ms", "steps", "MB", "GB/s",
                      "% copy", "GFLOP/s", "kernel");
  for (const auto& [name, row] : sorted) {
    const double rate = row.bytes / row.seconds;
    text += fmt::format("{:>10.3f} {:>6} {:>9.1f} {:>8.1f} {:>7.0f} {:>9.0f}  {}\n",
                        row.seconds * 1e3, row.steps, row.bytes * 1e-6, rate * 1e-9,
                        100 * rate / copy, 1e-9 * row.flops / row.seconds, name);
    json["kernels"].push_back({{"op", name},
                               {"steps", row.steps},
                               {"ms", row.seconds * 1e3},
                               {"mb", row.bytes * 1e-6},
                               {"gb_s", rate * 1e-9},
                               {"percent_of_copy", 100 * rate / copy},
                               {"gflop_s", 1e-9 * row.flops / row.seconds}});
  }
  print_result(s.common, text);
  return json;
}

}  // namespace fjord
