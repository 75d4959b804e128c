// A training run: the step's plan, the evaluation's plans, the optimizer, epochs and their best.
// Knows nothing of files: batches come from a BatchSource, checkpoints and curves go to an
// Observer.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/loss_expression.h"
#include "engine/metrics.h"
#include "engine/optimizer.h"
#include "engine/plan.h"
#include "engine/schedule.h"

namespace fjord {

/// Records a model: image n x h x w x bands -> logits n x h x w x classes.
using Model = std::function<Tensor(Net, Tensor image)>;

/// Creates the model's parameters by recording it once on a small image, allocates and draws them.
/// Before weights are loaded, and before any plan is made. A second call does nothing.
void declare_parameters(Parameters& parameters, const Model& model, int bands, std::uint64_t seed,
                        Backend backend = Backend::cpu);

/// Batches of one split, in an order of its own.
struct BatchSource {
  virtual ~BatchSource() = default;
  /// Makes `batch` of `epoch` the next one.
  virtual void start(int epoch, std::int64_t batch) = 0;
  /// Fills n x h x w x bands values and n x h x w labels (class, 255 = ignore); returns how many
  /// images there were: fewer than n in the last batch of an evaluation, 0 when the epoch is over.
  virtual int next(float* images, std::uint8_t* labels) = 0;
  virtual std::int64_t batches() const = 0;
};

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
  std::int64_t step = 0;  // from 1
  int epoch = 0;
  std::int64_t batch = 0, batches = 0;  // of the epoch, from 1
  double lr = 0, loss = 0, gradient_norm = 0, seconds = 0, images_per_s = 0;
};

/// Sums over one pass of a split.
struct Scores {
  ConfusionMatrix confusion;
  double loss = 0;  // per batch, weighted by images
  std::int64_t images = 0;
};

struct EpochReport {
  int epoch = 0;  // from 0
  std::int64_t step = 0;
  double lr = 0, train_loss = 0, seconds = 0, images_per_s = 0;
  Scores validation;
  bool better = false;
};

/// Who watches a run: progress lines, CSV rows, checkpoints.
struct Observer {
  virtual ~Observer() = default;
  virtual void on_step(const StepReport&) {}
  /// Before save(), so that a checkpoint can say how many rows belong to it.
  virtual void on_epoch(const EpochReport&) {}
  /// After every epoch, and when stopped in the middle of one.
  virtual void save(const Progress&, bool /*better*/) {}
  /// Asked after every step: a signal has come.
  virtual bool stop_requested() { return false; }
};

struct TrainerOptions {
  Shape image = {};  // of a training batch: n x h x w x bands
  int classes = 1;
  LossExpression loss = {};
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
  PlanOptions plan = {};
};

/// Evaluation plans, one per batch size and image size met, at most `kPlans` kept.
class Evaluator {
 public:
  /// With a loss, labels are needed by run(). The arena may be shared with a training plan.
  Evaluator(Model model, Parameters& parameters, Arena& arena, Backend backend, PlanOptions plan);

  /// Logits of the images: n x h x w x classes, valid until the next call.
  const float* predict(Shape images, const float* values);
  /// Passes over a split: confusion matrix and, when an expression is given, loss.
  Scores score(BatchSource& source, Shape batch, int classes, double threshold,
               const LossExpression* loss);
  /// Of the plan of these images: made when there is none yet.
  std::string report(Shape images);
  std::size_t arena_bytes(Shape images);

 private:
  struct Recorded;
  Recorded& recorded(Shape images, const LossExpression* loss);

  static constexpr std::size_t kPlans = 4;
  const Model model_;
  Parameters& parameters_;
  Arena& arena_;
  const Backend backend_;
  const PlanOptions plan_;
  std::vector<std::shared_ptr<Recorded>> recorded_;  // the latest used last
};

class Trainer {
 public:
  /// Records and plans one training step. Parameters that exist already (loaded weights) are kept,
  /// fresh ones are drawn.
  Trainer(Model model, Parameters& parameters, TrainerOptions options);
  ~Trainer();

  /// One batch: forward, backward and, every `accumulate` batches, an update.
  /// Throws Error{numeric} before the update when loss or gradients are not finite.
  struct StepResult {
    double loss = 0;
    std::optional<double> gradient_norm;  // when there was an update
  };
  float* images();
  std::uint8_t* labels();
  StepResult step(double lr);

  /// The whole run, or the rest of it.
  Progress fit(BatchSource& train, BatchSource& validation, Observer& observer,
               Progress progress = {});

  Optimizer& optimizer();
  Evaluator& evaluator();
  /// Arena, weights, gradients, moments: what training will hold, known before the first step.
  std::size_t planned_bytes() const;
  std::string plan_report() const;

 private:
  struct Training;
  Progress run_epoch(BatchSource& train, Observer& observer, Progress progress);
  EpochReport end_epoch(BatchSource& validation, Progress& progress, double seconds);
  bool limit_reached(const Progress& progress) const;

  const TrainerOptions options_;
  Parameters& parameters_;
  std::unique_ptr<Training> training_;
  std::unique_ptr<Evaluator> evaluator_;
  Schedule schedule_;
  double started_seconds_ = 0;
};

}  // namespace fjord
