// fjord-bench --predict: the CUDA step on cards that are not here.
#include "kernels/error.h"
#include "tools/benchmark.h"
#include "tools/log.h"
#include "tools/paper_cuda.h"
#include "tools/roofline.h"

namespace fjord {

namespace {

nlohmann::ordered_json to_json(const Prediction::Row& row) {
  nlohmann::ordered_json json{
      {"op", row.op},       {"steps", row.steps}, {"kernels", row.kernels},  {"gb", row.gb},
      {"gflop", row.gflop}, {"ms", row.ms},       {"floor_ms", row.floor_ms}};
  if (!row.path.empty()) json["path"] = row.path;
  return json;
}

std::string to_line(const Prediction::Row& row) {
  return fmt::format("{:>8.3f} {:>9.3f} {:>8.3f} {:>9.1f} {:>6} {:>8}  {}\n", row.ms, row.floor_ms,
                     row.gb, row.gflop, row.steps, row.kernels, row.path + row.op);
}

std::string table_of(const std::vector<Prediction::Row>& rows, const Prediction::Row& total) {
  std::string text = fmt::format("{:>8} {:>9} {:>8} {:>9} {:>6} {:>8}  {}\n", "ms", "floor ms",
                                 "GB", "GFLOP", "steps", "kernels", "work");
  for (const Prediction::Row& row : rows) text += to_line(row);
  return text + to_line(total) + "\n";
}

void show(const BenchSettings& s, const Prediction& p, const Card& card) {
  print_result(s.common, fmt::format("predicted for one {} ({} TB/s, {} TFLOP/s in 16 bits)\n\n",
                                     card.name, card.copy_tb_s, card.half_tflops));
  if (s.profile) print_result(s.common, table_of(p.steps, p.total));
  print_result(s.common, table_of(p.rows, p.total));
}

}  // namespace

nlohmann::ordered_json bench_predict(const BenchSettings& s) {
  const PaperCuda made = enable_cuda_on_paper();
  say("predicted: {}",
      made == PaperCuda::from_library
          ? "with the plans of this build's CUDA library, for the card of this machine or, "
            "where it has none, a described H200"
          : "without the library of CUDA kernels: no scratch memory counted");
  const Recorded recorded(recorded_options(s));
  std::vector<Work> work = work_of(*recorded.tape);
  const Tape& tape = *recorded.tape;
  if (recorded.optimizer)
    for (Work& w : optimizer_work(recorded.parameters.weight_count(), tape.options.dtype))
      work.push_back(std::move(w));

  const double planned = static_cast<double>(recorded.planned_bytes()) / 1048576.0;
  nlohmann::ordered_json json = report_head(s);
  json["planned_mib"] = planned;
  std::string cards =
      fmt::format("{:<16} {:>8} {:>9} {:>9}\n", "card", "ms", "floor ms", "images/s");
  for (const Card& card : known_cards()) {
    const Prediction p = predict(work, card, tape.options.math);
    if (&card == &known_cards().front()) {
      show(s, p, card);
      for (const Prediction::Row& row : p.rows) json["work"].push_back(to_json(row));
      if (s.profile)
        for (const Prediction::Row& row : p.steps) json["each_step"].push_back(to_json(row));
    }
    const double rate = s.batch / p.total.ms * 1e3;
    nlohmann::ordered_json total = to_json(p.total);
    total.erase("op"), total.erase("steps");
    json["cards"].push_back({{"card", card.name}, {"images_per_s", rate}});
    json["cards"].back().update(total);
    cards += fmt::format("{:<16} {:>8.2f} {:>9.2f} {:>9.0f}\n", card.name, p.total.ms,
                         p.total.floor_ms, rate);
  }
  print_result(s.common, cards + fmt::format("\n{:.2f} GB planned\n", planned * 1048576.0 * 1e-9));
  return json;
}

}  // namespace fjord
