// fjord-train: the run from flags to exit code.
#include "tools/training.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "kernels/cpu/backend.h"
#include "kernels/threads.h"
#include "tools/compute.h"
#include "tools/files.h"
#include "tools/log.h"
#include "tools/recorded.h"
#include "tools/run_checkpoint.h"
#include "tools/run_observer.h"
#include "tools/samples.h"
#include "tools/signals.h"

namespace fjord {

namespace {

const ProgramText kText{
    "fjord-train", "DATA [flags]   (DATA holds train/ and val/, each with images/ and labels/)",
    "trains a segmentation network on image files",
    "  fjord-train data/buildings --encoder resnet18 --size 256\n"
    "  fjord-train data/landcover --in-channels 4 --classes 6 --epochs 40 --out runs/landcover\n"
    "  fjord-train --out runs/landcover --resume\n"};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Everything that a run holds while it trains, in the order in which it is made.
struct Session {
  Session(TrainSettings& settings, const RunFolder* folder);
  /// What the card holds; nothing where the host computes.
  std::optional<double> gpu_mib() const {
    if (trainer->optimizer().backend() != Backend::cuda) return {};
    return static_cast<double>(trainer->planned_bytes()) / 0x1p20;
  }

  TrainingData data;
  ModelRecord record;
  Parameters parameters;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<LoaderSource> training, validation;
};

Model model_of(const ModelRecord& record, const TrainSettings& settings) {
  ModelOptions options = record.model;
  options.freeze_encoder = settings.freeze_encoder;
  options.deep_supervision = settings.deep_supervision;
  validate(options);
  return [options](Net net, Tensor image) { return build_model(net, image, options); };
}

Session::Session(TrainSettings& settings, const RunFolder* folder)
    : data(open_training_data(settings)) {
  record = {model_options_of(settings.model, data.channels), data.normalization,
            framing_of(settings), data.labels};
  const Compute compute = start_compute(settings.common, settings.compute);
  LoaderOptions loading = loader_options(settings, data, SplitUse::training);
  loading.augment_by = augment_by(settings, data, compute.backend);
  training = std::make_unique<LoaderSource>(data.training(), loading);
  validation = std::make_unique<LoaderSource>(data.validation(),
                                              loader_options(settings, data, SplitUse::validation));
  TrainerOptions options = trainer_options(settings);
  options.image = training->loader().sample_shape();
  options.image.n = settings.batch;
  options.backend = compute.backend;
  options.precision = compute.precision;
  options.algorithm = compute.algorithm;
  options.activations = compute.activations;
  if (training->loader().augment_by() == AugmentBy::consumer)
    options.raw = training->loader().raw_images();
  const Model model = model_of(record, settings);
  declare_parameters(parameters, model, data.channels, settings.common.seed, compute.backend);
  if (!settings.resume) load_start(settings, parameters);
  trainer = std::make_unique<Trainer>(model, parameters, options);
  say("network: {} with {}, {} parameters; batch {} of {}x{}x{}", record.model.arch,
      record.model.encoder, parameter_count(parameters), options.image.n, options.image.h,
      options.image.w, options.image.c);
  if (options.loss.stages.size() > 1)
    say("loss: {}", to_string(parse_loss_schedule(*settings.loss)));
  say("memory: {:.0f} MiB planned, {:.0f} MiB resident before the first step",
      static_cast<double>(trainer->planned_bytes()) / 1048576.0, resident_mib());
  if (folder) note(trainer->plan_report());
}

void say_notes(LoaderSource& source) {
  for (const std::string& note : source.loader().take_notes()) say(note);
}

// Flags, then --config or the config of the run that is gone on with.
bool read_settings(int argc, char** argv, TrainSettings& settings, Options& options) {
  add_train_flags(options, settings);
  if (!options.parse(argc, argv)) return false;
  if (!settings.config.empty()) options.read_config(settings.config);
  options.check_conflicts();
  make_absolute(settings);
  return true;
}

RunFolder open_folder(const TrainSettings& settings) {
  return RunFolder::open({.out = settings.out,
                          .resume = settings.resume,
                          .data = settings.data,
                          .arch = settings.model.arch,
                          .encoder = settings.model.encoder});
}

// The device and instruction set that `auto` stands for are part of what gives equal bits.
void start_computing(TrainSettings& settings) {
  apply_common_flags(settings.common);
  const Compute compute = start_compute(settings.common, settings.compute);
  settings.common.device = to_string(compute.backend);
  settings.compute.precision = to_string(compute.precision);
  settings.common.isa = to_string(cpu_isa());
}

// A run goes on where it began: --device cpu, which the remedy may name, contradicts its config.
void start_again(TrainSettings& settings) {
  try {
    start_computing(settings);
  } catch (const Error& error) {
    if (error.exit != ExitCode::device) throw;
    const bool card = settings.common.device == to_string(Backend::cuda);
    const bool other_kind = error.slug == "isa" || error.slug == "device-precision";
    const std::string where =
        other_kind ? fmt::format("with a {} like the run's", card ? "card" : "processor")
                   : fmt::format("where the run's device ({}) is", settings.common.device);
    throw Error(error.exit, error.slug, error.subject, error.reason,
                fmt::format("go on {}, or start another run with --out", where));
  }
}

RunDevice device_of(const TrainSettings& settings) {
  const bool card = settings.common.device == to_string(Backend::cuda);
  const ConvTuning tuning = card ? tuning_of_environment() : ConvTuning{};
  return {.isa = settings.common.isa,
          .backend = settings.common.device,
          .card = card ? device(Backend::cuda).name() : "",
          .precision = *settings.compute.precision,
          .timed_convolutions = tuning.timed,
          .library_sums = tuning.library_sums};
}

void describe(const RunFolder& folder, const TrainSettings& settings, int argc, char** argv) {
  open_log(folder / "log.txt");
  folder.write_command(argc, argv);
  folder.write_environment(device_of(settings));
  say("run: {}", printable(folder.path().string()));
}

int dry_run(TrainSettings& settings) {
  Session session(settings, nullptr);
  session.training->start(0, 0);
  for (int step = 1; step <= 2; ++step) {
    const auto start = std::chrono::steady_clock::now();
    session.trainer->fill(*session.training);
    const auto result = session.trainer->step(*settings.lr);
    say("step {}: loss {:.4f}, {:.2f} s", step, result.loss, seconds_since(start));
  }
  say_notes(*session.training);
  say("dry run: nothing was written");
  return 0;
}

nlohmann::ordered_json summary(const RunFolder& folder, const Progress& progress, double seconds,
                               double images_per_s, std::optional<double> gpu_mib = {}) {
  return {{"run", printable(folder.path().string())},
          {"epochs", progress.epoch},
          {"steps", progress.step},
          {"best_epoch", progress.best_epoch + 1},
          {"best_val", progress.best ? nlohmann::ordered_json(*progress.best) : nullptr},
          {"seconds", seconds},
          {"images_per_s", images_per_s},
          {"peak_rss_mib", peak_resident_mib()},
          {"peak_gpu_mib", gpu_mib ? nlohmann::ordered_json(*gpu_mib) : nullptr}};
}

RunObserverOptions observer_options(const TrainSettings& settings, const RunFolder& folder,
                                    Session& session, const Progress& progress) {
  RunObserverOptions options;
  options.folder = &folder;
  options.classes = class_names(session.record.model.classes);
  options.epochs = settings.epochs;
  options.max_steps = settings.steps.value_or(0);
  options.monitor = trainer_options(settings).monitor;
  if (settings.resume) options.resumed_at = progress.step;
  options.save = [&](const Progress& state, bool better) {
    save_run(folder, session.record, session.parameters, session.trainer->optimizer(), state,
             better);
  };
  auto pictures = std::make_shared<SampleSheets>(
      session.data.validation(), loader_options(settings, session.data, SplitUse::validation),
      session.record);
  options.draw_samples = [&, pictures] {
    say_notes(*session.training);
    pictures->draw(session.trainer->evaluator(), folder / "samples");
  };
  return options;
}

// A card that fails in mid-run takes the work in hand with it, nothing that was saved.
Progress fit(Session& session, Observer& observer, const Progress& progress,
             const RunFolder& folder) {
  try {
    return session.trainer->fit(*session.training, *session.validation, observer, progress);
  } catch (const Error& error) {
    std::error_code none;
    if (error.exit == ExitCode::device && std::filesystem::exists(folder.checkpoint("last"), none))
      say("the last checkpoint stands; go on with: fjord-train --out {} --resume",
          printable(folder.path().string()));
    throw;
  }
}

int run(TrainSettings& settings, const RunFolder& folder, const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  Session session(settings, &folder);
  Progress progress;
  if (settings.resume) {
    progress = load_run(folder, session.parameters, session.trainer->optimizer());
    say("going on after step {} (epoch {})", progress.step, progress.epoch + 1);
  } else {
    write_file_atomically(folder / "config.toml", options.to_toml());
  }
  RunObserver observer(observer_options(settings, folder, session, progress));
  catch_stop_signals();
  progress = fit(session, observer, progress, folder);
  observer.require_saved();
  say_notes(*session.training);
  if (!progress.finished) {
    say("stopped by a signal after step {}; go on with: fjord-train --out {} --resume",
        progress.step, printable(folder.path().string()));
    return static_cast<int>(ExitCode::preempted);
  }
  say("best: epoch {} ({} {:.4f}); {}", progress.best_epoch + 1, *settings.monitor,
      progress.best.value_or(0), duration_text(seconds_since(start)));
  say("model: {}", printable((folder.checkpoint("best") / "model.safetensors").string()));
  write_json(settings.common, summary(folder, progress, seconds_since(start), observer.images_per_s,
                                      session.gpu_mib()));
  return 0;
}

// Needs no device: the run's own may be elsewhere by now.
int tell_finished(const TrainSettings& settings, const RunFolder& folder,
                  const Progress& progress) {
  set_quiet(settings.common.quiet);
  say("{} is finished: {} epochs, {} steps; start another with --out",
      printable(folder.path().string()), progress.epoch, progress.step);
  write_json(settings.common, summary(folder, progress, 0, 0));
  return 0;
}

}  // namespace

int train(int argc, char** argv) {
  TrainSettings settings;
  Options options(kText);
  if (!read_settings(argc, argv, settings, options)) return 0;
  if (settings.resume) {
    const RunFolder folder = open_folder(settings);
    options.resume_from((folder / "config.toml").string());
    settle(settings);
    const Progress progress = peek_run(folder);
    if (progress.finished) return tell_finished(settings, folder, progress);
    start_again(settings);
    describe(folder, settings, argc, argv);
    return run(settings, folder, options);
  }
  set_quiet(settings.common.quiet);
  adopt_network(settings, options);
  settle(settings);
  start_computing(settings);
  if (settings.dry_run) return dry_run(settings);
  find_dataset(settings);  // a wrong path must not leave a numbered folder behind
  const RunFolder folder = open_folder(settings);
  folder.start_afresh();
  describe(folder, settings, argc, argv);
  return run(settings, folder, options);
}

}  // namespace fjord
