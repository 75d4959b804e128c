// A run's state as a checkpoint's contents.
#include "tools/run_checkpoint.h"

#include <charconv>

#include "engine/checkpoint.h"
#include "models/config.h"

namespace fjord {

namespace {

// What a model file does not have.
std::vector<NamedBuffer> state_of(const Parameters& parameters, Optimizer& optimizer) {
  std::vector<NamedBuffer> state;
  for (const Parameter& parameter : parameters.all())
    if (parameter.training_only)
      state.push_back({parameter.name, &parameter.value, optimizer.backend()});
  for (Buffer& buffer : optimizer.state())
    state.push_back({buffer.name, &buffer, optimizer.backend()});
  return state;
}

Metadata to_scalars(const Progress& progress, const UpdateState& updates) {
  return {{"epoch", fmt::format("{}", progress.epoch)},
          {"batch", fmt::format("{}", progress.batch)},
          {"step", fmt::format("{}", progress.step)},
          {"epoch_loss", fmt::format("{}", progress.epoch_loss)},
          {"best", progress.best ? fmt::format("{}", *progress.best) : ""},
          {"best_epoch", fmt::format("{}", progress.best_epoch)},
          {"epochs_without_better", fmt::format("{}", progress.epochs_without_better)},
          {"finished", progress.finished ? "1" : "0"},
          {"optimizer_steps", fmt::format("{}", updates.step)},
          {"loss_scale", fmt::format("{}", updates.loss_scale)},
          {"clean_steps", fmt::format("{}", updates.clean_steps)},
          {"skipped_in_row", fmt::format("{}", updates.skipped_in_row)},
          {"skipped", fmt::format("{}", updates.skipped)}};
}

// Reads the scalars of one file, naming it in errors.
struct ScalarReader {
  const Metadata& scalars;
  const std::string file;

  const std::string& text(const std::string& key) const {
    const auto row = scalars.find(key);
    if (row == scalars.end()) refuse(key, "is missing");
    return row->second;
  }
  template <class T>
  T number(const std::string& key) const {
    const std::string& value = text(key);
    T parsed{};
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    if (error != std::errc() || stop != value.data() + value.size() || value.empty())
      refuse(key, "is not a number");
    return parsed;
  }
  [[noreturn]] void refuse(const std::string& key, std::string_view why) const {
    throw Error(ExitCode::model_file, "checkpoint", file, fmt::format("{} {}", key, why),
                "start another run with --out");
  }
};

Progress to_progress(const ScalarReader& read) {
  Progress progress{.epoch = read.number<int>("epoch"),
                    .batch = read.number<std::int64_t>("batch"),
                    .step = read.number<std::int64_t>("step"),
                    .epoch_loss = read.number<double>("epoch_loss"),
                    .best = {},
                    .best_epoch = read.number<int>("best_epoch"),
                    .epochs_without_better = read.number<int>("epochs_without_better"),
                    .finished = read.number<int>("finished") != 0};
  if (!read.text("best").empty()) progress.best = read.number<double>("best");
  return progress;
}

// `first` is what a run starts with: older checkpoints have the count of updates alone.
UpdateState to_updates(const ScalarReader& read, UpdateState first) {
  first.step = read.number<std::int64_t>("optimizer_steps");
  if (!read.scalars.contains("loss_scale")) return first;
  first.loss_scale = read.number<float>("loss_scale");
  first.clean_steps = read.number<std::int32_t>("clean_steps");
  first.skipped_in_row = read.number<std::int32_t>("skipped_in_row");
  first.skipped = read.number<std::int64_t>("skipped");
  return first;
}

}  // namespace

void save_run(const RunFolder& folder, const ModelRecord& record, const Parameters& parameters,
              Optimizer& optimizer, const Progress& progress, bool better) {
  save_checkpoint(folder / "checkpoints",
                  {.parameters = parameters,
                   .state = state_of(parameters, optimizer),
                   .scalars = to_scalars(progress, optimizer.progress()),
                   .metadata = to_metadata(record),
                   .config = smp_config(record.model)},
                  {.step = progress.step, .last = true, .best = better});
}

Progress load_run(const RunFolder& folder, Parameters& parameters, Optimizer& optimizer) {
  const std::filesystem::path path = folder.checkpoint("last");
  const LoadedCheckpoint loaded =
      load_checkpoint(path, parameters, state_of(parameters, optimizer));
  const ScalarReader read{loaded.scalars, printable(path.string())};
  optimizer.set_progress(to_updates(read, optimizer.progress()));
  optimizer.exchange_average();  // back: files are written of the average
  return to_progress(read);
}

Progress peek_run(const RunFolder& folder) {
  const std::filesystem::path path = folder.checkpoint("last") / "training.safetensors";
  const SafetensorsFile file(path);
  return to_progress({file.header().metadata, file.name()});
}

}  // namespace fjord
