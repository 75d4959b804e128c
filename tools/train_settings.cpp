// fjord-train's flags, and what they mean to the engine.
#include "tools/train_settings.h"

#include <filesystem>

#include "kernels/error.h"
#include "tools/compute.h"

namespace fjord {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Range kPositive{0, kInfinity, true, false}, kNotNegative{0, kInfinity};
constexpr Range kFraction{0, 1, true, true}, kCount{1, 1e9};

void add_data_flags(Options& options, TrainSettings& s) {
  options.positional("data", &s.data);
  options.group("data");
  options.flag("labels", &s.labels, {.value = "MAP", .help = "\"1:0,2:1,255:ignore\""});
  options.flag("label-threshold", &s.label_threshold,
               {.value = "T", .help = "foreground from T up", .range = {0, 65535}});
  options.flag("ignore-index", &s.ignore_index,
               {.value = "N", .help = "label not counted", .range = {0, 65535}});
  options.flag("size", &s.size, {.value = "N|HxW|0", .help = "resize to (512); 0: no"});
  options.flag(
      "resize", &s.resize,
      {.value = "HOW", .help = "nearest, linear, area", .choices = {"nearest", "linear", "area"}});
  options.flag("crop", &s.crop,
               {.value = "N", .help = "random crops instead", .range = {1, 65536}});
  options.flag("augment", &s.augment,
               {.value = "HOW", .help = "standard, none", .choices = {"standard", "none"}});
  options.flag("normalize", &s.normalize,
               {.value = "HOW",
                .help = "imagenet half stats seed unit none",
                .choices = {"imagenet", "half", "stats", "seed", "unit", "none"}});
  options.flag("range", &s.range, {.value = "X", .help = "value that means 1", .range = kPositive});
  options.flag("val-fraction", &s.val_fraction,
               {.value = "X", .help = "without val/ (0.1)", .range = kFraction});
  options.flag("batch", &s.batch, {.value = "N", .help = "images a step (8)", .range = {1, 65536}});
  options.flag("no-shuffle", &s.no_shuffle, {.help = "sorted order"});
}

void add_length_flags(Options& options, TrainSettings& s) {
  options.group("length");
  options.flag("epochs", &s.epochs, {.value = "N", .help = "(14)", .range = {1, 1e6}});
  options.flag("steps", &s.steps, {.value = "N", .help = "at most", .range = kCount});
  options.flag("hours", &s.hours, {.value = "H", .help = "at most", .range = kPositive});
  options.flag("patience", &s.patience,
               {.value = "N", .help = "epochs without a better", .range = {1, 1e6}});
  options.flag("monitor", &s.monitor,
               {.value = "WHAT", .help = "iou, miou, loss", .choices = {"iou", "miou", "loss"}});
}

void add_optimizer_flags(Options& options, TrainSettings& s) {
  options.group("optimisation");
  options.flag("optimizer", &s.optimizer,
               {.value = "NAME", .help = "adamw, sgd", .choices = {"adamw", "sgd"}});
  options.flag("lr", &s.lr, {.value = "X", .help = "1e-3; sgd 1e-4", .range = kPositive});
  options.flag("encoder-lr", &s.encoder_lr,
               {.value = "X", .help = "the encoder's own", .range = kPositive});
  options.flag("weight-decay", &s.weight_decay,
               {.value = "X", .help = "(1e-3)", .range = kNotNegative});
  options.flag("momentum", &s.momentum,
               {.value = "X", .help = "sgd (0.9)", .range = {0, 1, false, true}});
  options.flag("nesterov", &s.nesterov, {.help = "sgd"});
  options.flag("clip-norm", &s.clip_norm,
               {.value = "X", .help = "of all gradients", .range = kPositive});
  options.flag("schedule", &s.schedule,
               {.value = "NAME",
                .help = "cosine-restarts, cosine, poly, constant",
                .choices = {"cosine-restarts", "cosine", "poly", "constant"}});
  options.flag("t0", &s.t0, {.value = "N", .help = "first cycle (2)", .range = {1, 1e6}});
  options.flag("t-mult", &s.t_mult,
               {.value = "N", .help = "growth of cycles (2)", .range = {1, 1e6}});
  options.flag("eta-min", &s.eta_min,
               {.value = "X", .help = "lowest rate (1e-5)", .range = kNotNegative});
  options.flag("warmup-steps", &s.warmup_steps,
               {.value = "N", .help = "linear", .range = {0, 1e9}});
  options.flag("accumulate", &s.accumulate,
               {.value = "N", .help = "batches an update (1)", .range = {1, 65536}});
  options.flag("loss", &s.loss, {.value = "TEXT", .help = "\"0.5*dice+0.5*bce\""});
  options.flag("class-weights", &s.class_weights,
               {.value = "LIST", .help = "one a class", .range = kPositive});
  options.flag("deep-supervision", &s.deep_supervision,
               {.value = "W", .help = "unetplusplus's nodes", .range = kNotNegative});
  options.flag("ema", &s.ema, {.value = "D", .help = "average: its decay", .range = kFraction});
  options.flag("swa-start", &s.swa_start,
               {.value = "E", .help = "averaged from epoch E", .range = {1, 1e6}});
  options.flag("swa-lr", &s.swa_lr,
               {.value = "X", .help = "rate to go to then", .range = kPositive});
}

void add_start_flags(Options& options, TrainSettings& s) {
  options.group("start and run");
  options.flag("encoder-weights", &s.encoder_weights,
               {.value = "FILE", .help = "start of the encoder"});
  options.flag("init", &s.init, {.value = "FILE", .help = "start of the network"});
  options.flag("freeze-encoder", &s.freeze_encoder, {.help = "decoder only"});
  options.flag("out", &s.out,
               {.value = "DIR", .help = "(runs/DATA-ARCH-ENCODER-NNN)", .saved = false});
  options.flag("resume", &s.resume, {.help = "go on with --out", .saved = false});
  options.flag("config", &s.config,
               {.value = "FILE.toml", .help = "flags from a file", .saved = false});
  options.flag("dry-run", &s.dry_run, {.help = "two steps, no files", .saved = false});
  options.flag("check", &s.check, {.help = "find NaN, slowly", .saved = false});
}

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

void add_train_flags(Options& options, TrainSettings& settings) {
  add_data_flags(options, settings);
  add_model_flags(options, settings.model);
  add_length_flags(options, settings);
  add_optimizer_flags(options, settings);
  add_start_flags(options, settings);
  add_compute_flags(options, settings.compute);
  add_common_flags(options, settings.common);
  options.conflict("crop", "size", "--crop takes the images at their own size");
  options.conflict("crop", "resize", "--crop takes the images at their own size");
  options.conflict("init", "encoder-weights", "each says where the encoder starts from");
  options.conflict("labels", "label-threshold", "each says what a label's values mean");
  options.conflict("resume", "init", "a resumed run goes on from its own checkpoint");
  options.conflict("resume", "encoder-weights", "a resumed run goes on from its own checkpoint");
  options.conflict("resume", "config", "a resumed run has its own config");
  options.conflict("resume", "dry-run", "a dry run leaves no run to go on with");
  options.conflict("freeze-encoder", "encoder-lr", "a frozen encoder has no rate");
  options.conflict("ema", "swa-start", "a run has one average of its weights");
  options.conflict("patience", "swa-start", "an average is of a known number of epochs");
}

void make_absolute(TrainSettings& s) {
  s.data = absolute(s.data);
  if (s.init) s.init = absolute(*s.init);
  if (s.encoder_weights) s.encoder_weights = absolute(*s.encoder_weights);
}

namespace {

// A flag that the chosen optimizer or schedule does not read.
void refuse_idle_flags(const TrainSettings& s) {
  auto refuse = [](std::string_view flag, std::string_view choice, std::string_view why) {
    throw Error(ExitCode::usage, "conflict", fmt::format("{} and {} were both given", flag, choice),
                why, "leave one of them out");
  };
  const TrainSettings initial;
  if (s.optimizer == "adamw" && s.nesterov)
    refuse("--nesterov", "--optimizer adamw", "only sgd takes Nesterov's step");
  if (s.optimizer == "adamw" && s.momentum != initial.momentum)
    refuse("--momentum", "--optimizer adamw", "only sgd has a momentum");
  const std::string schedule = "--schedule " + s.schedule, why = "only cosine-restarts has cycles";
  if (s.schedule != "cosine-restarts" && s.t0 != initial.t0) refuse("--t0", schedule, why);
  if (s.schedule != "cosine-restarts" && s.t_mult != initial.t_mult)
    refuse("--t-mult", schedule, why);
}

void check_average(const TrainSettings& s) {
  if (s.swa_lr && !s.swa_start)
    throw Error(ExitCode::usage, "swa", "--swa-lr without --swa-start",
                "it is the rate of the epochs that are averaged",
                "give --swa-start E, or leave it");
  if (s.swa_start && *s.swa_start > s.epochs)
    throw Error(ExitCode::usage, "swa",
                fmt::format("--swa-start {} and --epochs {}", *s.swa_start, s.epochs),
                "no epoch would be averaged", "give a smaller --swa-start or more --epochs");
}

// Mistakes in it are found before any file is read.
void check_loss(const TrainSettings& s) {
  const LossSchedule schedule = loss_of(s);
  if (schedule.stages.size() == 1) return;
  const auto refuse = [&](std::string_view why, std::string_view remedy) {
    throw Error(ExitCode::usage, "loss", fmt::format("--loss \"{}\"", printable(*s.loss)), why,
                remedy);
  };
  if (s.monitor == "loss")
    refuse("--monitor loss compares epochs, and values of different losses cannot be compared",
           "use --monitor miou, or one loss");
  if (schedule.stages.back().begin >= s.epochs)
    refuse(fmt::format("its last loss begins with epoch {}, and --epochs {} ends before",
                       schedule.stages.back().begin + 1, s.epochs),
           "give more --epochs, or leave that loss out");
}

}  // namespace

void settle(TrainSettings& s) {
  check_compute_flags(s.compute, s.common);
  const int classes = s.model.classes.value_or(1);
  if (!s.lr) s.lr = s.optimizer == "adamw" ? 1e-3 : 1e-4;
  if (!s.loss) s.loss = classes == 1 ? "0.5*dice+0.5*bce" : "0.5*lovasz+0.5*softce(smooth=0.1)";
  if (!s.monitor) s.monitor = classes == 1 ? "iou" : "miou";
  refuse_idle_flags(s);
  check_average(s);
  if (s.nesterov && s.momentum == 0)
    throw Error(ExitCode::usage, "conflict", "--nesterov and --momentum 0 were both given",
                "Nesterov's step needs a momentum", "leave one of them out");
  if (s.schedule.starts_with("cosine") && s.eta_min > *s.lr)
    throw Error(
        ExitCode::usage, "conflict", fmt::format("--eta-min {} and --lr {}", s.eta_min, *s.lr),
        "the lowest rate is above the first, so the rate would rise", "give a smaller --eta-min");
  if (!s.class_weights.empty() && classes > 1 &&
      static_cast<int>(s.class_weights.size()) != classes)
    throw Error(ExitCode::usage, "class-weights",
                fmt::format("--class-weights has {} numbers", s.class_weights.size()),
                fmt::format("--classes {} needs one for each class", classes),
                "give as many as there are classes");
  check_loss(s);
  model_options_of(s.model, 3);
}

LabelOptions label_options(const TrainSettings& s) {
  return {s.model.classes.value_or(1), s.labels, s.label_threshold, s.ignore_index};
}

Framing framing_of(const TrainSettings& s) {
  Framing framing;
  framing.resampling = s.resize == "nearest"  ? Resampling::nearest
                       : s.resize == "linear" ? Resampling::linear
                                              : Resampling::area;
  if (s.crop)
    framing.crop_height = framing.crop_width = *s.crop;
  else
    framing.height = s.size.height, framing.width = s.size.width;
  return framing;
}

LossSchedule loss_of(const TrainSettings& s) {
  LossSchedule schedule = parse_loss_schedule(*s.loss);
  for (LossSchedule::Stage& stage : schedule.stages) {
    stage.loss.class_weights = s.class_weights;
    // Labels in memory hold classes and kIgnore, which no loss counts, whatever files hold.
    stage.loss.ignore = stage.loss.ignore.value_or(kIgnore);
  }
  return schedule;
}

TrainerOptions trainer_options(const TrainSettings& s) {
  TrainerOptions options;
  options.classes = s.model.classes.value_or(1);
  options.loss = loss_of(s);
  options.optimizer.kind = s.optimizer == "adamw" ? OptimizerKind::adamw : OptimizerKind::sgd;
  options.optimizer.weight_decay = s.weight_decay;
  options.optimizer.sgd = {s.momentum, s.nesterov};
  options.optimizer.clip_norm = s.clip_norm.value_or(0);
  if (s.ema) options.optimizer.average = Ema{*s.ema};
  if (s.swa_start) options.optimizer.average = Swa{.start = *s.swa_start - 1, .lr = s.swa_lr};
  if (s.encoder_lr)
    options.optimizer.group = [factor = *s.encoder_lr / *s.lr,
                               decay = s.weight_decay](const Parameter& parameter) {
      return ParameterGroup{parameter.name.starts_with("encoder.") ? factor : 1, decay};
    };
  options.schedule = {.kind = schedule_kind(s.schedule),
                      .lr = *s.lr,
                      .eta_min = s.eta_min,
                      .t0 = s.t0,
                      .t_mult = s.t_mult,
                      .warmup_steps = s.warmup_steps};
  options.accumulate = s.accumulate;
  options.epochs = s.epochs;
  options.max_steps = s.steps.value_or(0);
  options.max_hours = s.hours.value_or(0);
  options.patience = s.patience.value_or(0);
  options.monitor = *s.monitor == "iou"    ? Monitor::iou
                    : *s.monitor == "miou" ? Monitor::miou
                                           : Monitor::loss;
  options.seed = s.common.seed;
  options.plan.check = s.check;
  return options;
}

}  // namespace fjord
