// A training run: the step's plan, the optimizer, epochs and their best. Knows nothing of files:
// batches come from a BatchSource, checkpoints and curves go to an Observer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/evaluator.h"
#include "engine/loss_schedule.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"

namespace fjord {

enum class Monitor : std::uint8_t { iou, miou, loss };

/// Where a run stands; everything that a resumed run needs beside weights and moments.
struct Progress {
  int epoch = 0;               // finished epochs
  std::int64_t batch = 0;      // finished batches of the epoch in hand
  std::int64_t step = 0;       // finished optimizer steps
  double epoch_loss = 0;       // sum over the batches of the epoch in hand
  std::optional<double> best;  // value of the monitor
  int best_epoch = -1;
  int epochs_without_better = 0;
  bool finished = false;
};

struct StepReport {
  std::int64_t step = 0;                // from 1
  int epoch = 0;                        // from 0
  std::int64_t batch = 0, batches = 0;  // of the epoch, from 1
  double lr = 0, loss = 0, gradient_norm = 0, seconds = 0, images_per_s = 0;
  bool skipped = false;  // fp16 alone: loss or gradients were not finite, no weight was changed
};

struct EpochReport {
  int epoch = 0;  // from 0
  std::int64_t step = 0;
  double lr = 0, train_loss = 0, seconds = 0, images_per_s = 0;
  std::int64_t skipped = 0;  // updates left out since the run began (fp16)
  Scores validation;
  bool better = false;
  int averaged = 0;  // ends of epochs that the weights are the equal average of (Swa)
};

/// Who watches a run: progress lines, CSV rows, checkpoints.
struct Observer {
  virtual ~Observer() = default;
  virtual void on_step(const StepReport&) {}
  /// Before save(), so that a checkpoint can say how many rows belong to it.
  virtual void on_epoch(const EpochReport&) {}
  /// After every epoch, and when stopped in the middle of one. Here and in on_epoch a moving
  /// average of the weights, where there is one, stands in for the trained ones; an equal average
  /// (Swa) takes their place at the end of the last epoch, which then counts as the best.
  virtual void save(const Progress&, bool /*better*/) {}
  /// Asked after every step: a signal has come.
  virtual bool stop_requested() { return false; }
};

struct TrainerOptions {
  Shape image = {};  // of a training batch: n x h x w x bands
  int classes = 1;
  LossSchedule loss = {};
  OptimizerOptions optimizer = {};
  Schedule schedule = {};  // steps_per_epoch and total_steps are filled in by fit()
  int accumulate = 1;      // batches per optimizer step
  int epochs = 14;
  std::int64_t max_steps = 0;  // 0: no limit
  double max_hours = 0;
  int patience = 0;  // epochs without a better one; 0: off
  Monitor monitor = Monitor::iou;
  double threshold = 0.5;
  std::uint64_t seed = 0;
  Backend backend = Backend::cpu;
  Precision precision = Precision::fp32;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  Activations activations = Activations::kept;
  PlanOptions plan = {};
  std::optional<RawImages> raw = {};  // batches come raw: the step begins with their augmentation
};

class TrainingStep;  // engine/training_step.h

class Trainer {
 public:
  /// Records and plans one training step. Parameters that exist already (loaded weights) are kept,
  /// fresh ones are drawn. They must outlive the trainer. Throws Error{device, "device-memory"}
  /// naming the largest batch that fits when a card has too little memory.
  Trainer(Model model, Parameters& parameters, TrainerOptions options);
  ~Trainer();

  /// Takes the next batch of a source, in the form that TrainerOptions says; returns its images.
  int fill(BatchSource& source);
  /// The next batch's memory on the host, to be filled before step() by whoever has no source:
  /// n x h x w x bands values, n x h x w labels. An address holds until the next step or
  /// evaluation.
  float* images();
  std::uint8_t* labels();
  struct StepResult {
    double loss = 0;                      // of the batch
    std::optional<double> gradient_norm;  // when an update was due
    bool skipped = false;                 // it was left out (fp16)
  };
  /// One batch: forward, backward and, every `accumulate` batches, an update; waits for its result.
  /// Throws Error{numeric}, and no weight is changed by this or a later step, when loss or
  /// gradients are not finite; under fp16 when that was so 25 times in a row.
  StepResult step(double lr);

  /// The whole run, or the rest of it. Throws Error{usage} when an epoch has fewer batches than a
  /// step takes, and what step() throws.
  Progress fit(BatchSource& train, BatchSource& validation, Observer& observer,
               Progress progress = {});

  Optimizer& optimizer();
  Evaluator& evaluator();
  /// Arena, weights, gradients, moments: what training will hold, known before the first step.
  std::size_t planned_bytes() const;
  /// Plan::report of the training step, of a schedule with its first loss.
  std::string plan_report() const;

 private:
  struct Flight;
  void land(const Flight& flight, Progress& progress, Observer& observer);
  Progress run_epoch(BatchSource& train, Observer& observer, Progress progress);
  int average_epoch(BatchSource& train, const Progress& progress);
  EpochReport end_epoch(BatchSource& validation, Progress& progress, int averaged);
  bool limit_reached(const Progress& progress) const;

  const TrainerOptions options_;
  Parameters& parameters_;
  std::unique_ptr<TrainingStep> training_;
  std::unique_ptr<Evaluator> evaluator_;
  Schedule schedule_;
  double started_seconds_ = 0, landed_seconds_ = 0;
  double step_loss_ = 0;  // of the step in hand, over the batches seen
};

}  // namespace fjord
