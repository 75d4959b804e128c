// Every flag of fjord-train as plain members.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/label_map.h"
#include "data/resize.h"
#include "engine/trainer.h"
#include "tools/model_flags.h"
#include "tools/program.h"

namespace fjord {

struct TrainSettings {
  CommonFlags common;
  ModelFlags model;
  ComputeFlags compute;
  std::string data, out, config;
  bool resume = false, check = false, dry_run = false;
  // data
  std::string labels;
  std::optional<double> label_threshold;
  std::optional<int> ignore_index;
  ImageSize size{512, 512};
  std::optional<int> crop;
  std::string resize = "nearest", augment = "standard";
  std::optional<std::string> normalize;
  std::optional<double> range;
  double val_fraction = 0.1;
  int batch = 8;
  bool no_shuffle = false;
  // length
  int epochs = 14;
  std::optional<std::int64_t> steps;
  std::optional<double> hours;
  std::optional<std::string> monitor;
  std::optional<int> patience;
  // optimisation
  std::string optimizer = "adamw", schedule = "cosine-restarts";
  std::optional<double> lr, encoder_lr, clip_norm;
  double weight_decay = 1e-3, momentum = 0.9, eta_min = 1e-5;
  bool nesterov = false;
  int t0 = 2, t_mult = 2, accumulate = 1;
  std::int64_t warmup_steps = 0;
  std::optional<std::string> loss;
  std::vector<double> class_weights;
  std::optional<double> ema, swa_lr;
  std::optional<int> swa_start;
  // start
  std::optional<std::string> init, encoder_weights;
  bool freeze_encoder = false;
  double deep_supervision = 0;
};

void add_train_flags(Options& options, TrainSettings& settings);

/// Paths as config.toml says them: it may be read from another folder.
void make_absolute(TrainSettings& settings);
/// What depends on other flags: lr, loss, monitor. Throws Error{usage} for what this build lacks.
void settle(TrainSettings& settings);

LabelOptions label_options(const TrainSettings& settings);
Framing framing_of(const TrainSettings& settings);
LossSchedule loss_of(const TrainSettings& settings);
/// All but the image's shape.
TrainerOptions trainer_options(const TrainSettings& settings);

}  // namespace fjord
