// The training step and the loop over epochs.
#include "engine/trainer.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "engine/ops.h"
#include "kernels/pointwise.h"

namespace fjord {

namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void throw_nonfinite(const char* what, double value) {
  throw Error(ExitCode::numeric, "diverged", fmt::format("the {} is {}", what, value),
              "training has diverged; no weight was changed by this step",
              "lower --lr, set --clip-norm 1, or find the layer with --check");
}

}  // namespace

/// The recorded step, its plan and memory.
struct Trainer::Training {
  Training(const Model& model, Parameters& parameters, const TrainerOptions& options)
      : tape(parameters, {options.backend, DType::f32, Mode::train}),
        stream{options.backend, nullptr} {
    const Net net{&tape, ""};
    const Shape s = options.image;
    image = net.resident(s, DType::f32, "image");
    label = net.resident({s.n, s.h, s.w, 1}, DType::u8, "label");
    loss = fjord::loss(net, model(net, image), label, options.loss);
    net.backward();
    plan.emplace(tape, arena, options.plan);
    plan->bind();
    optimizer.emplace(parameters, options.optimizer, options.backend);
    if (options.accumulate > 1) {
      accumulated_memory.reserve(parameters.gradients.bytes());
      accumulated = parameters.gradients;
      accumulated.data = accumulated_memory.data();
    }
  }

  /// Adds the batch's gradients; true when an update is due.
  bool accumulate(Parameters& parameters, int batches) {
    if (batches == 1) return true;
    copy_forward(In{&parameters.gradients},
                 Out{&accumulated, batch_in_step == 0 ? Write::store : Write::add}, stream);
    batch_in_step = (batch_in_step + 1) % batches;
    return batch_in_step == 0;
  }

  Arena arena;
  Tape tape;
  Stream stream;
  Tensor image, label, loss;
  std::optional<Plan> plan;
  std::optional<Optimizer> optimizer;
  Arena accumulated_memory;
  Buffer accumulated;
  int batch_in_step = 0;
};

Trainer::Trainer(Model model, Parameters& parameters, TrainerOptions options)
    : options_(std::move(options)), parameters_(parameters), schedule_(options_.schedule) {
  declare_parameters(parameters, model, static_cast<int>(options_.image.c), options_.seed,
                     options_.backend);
  training_ = std::make_unique<Training>(model, parameters, options_);
  evaluator_ = std::make_unique<Evaluator>(std::move(model), parameters, training_->arena,
                                           options_.backend, options_.plan);
}

Trainer::~Trainer() = default;

Optimizer& Trainer::optimizer() { return *training_->optimizer; }
Evaluator& Trainer::evaluator() { return *evaluator_; }

float* Trainer::images() {
  training_->plan->bind();
  return static_cast<float*>(training_->image.slot->data);
}

std::uint8_t* Trainer::labels() {
  training_->plan->bind();
  return static_cast<std::uint8_t*>(training_->label.slot->data);
}

Trainer::StepResult Trainer::step(double lr) {
  Training& t = *training_;
  t.plan->run();
  StepResult result{*static_cast<const float*>(t.loss.slot->data), {}};
  if (!std::isfinite(result.loss)) throw_nonfinite("loss", result.loss);
  if (!t.accumulate(parameters_, options_.accumulate)) return result;
  const Optimizer::Step update{lr, 1.0 / options_.accumulate,
                               options_.accumulate > 1 ? &t.accumulated : nullptr};
  result.gradient_norm = t.optimizer->gradient_norm(update);
  if (!std::isfinite(*result.gradient_norm))
    throw_nonfinite("norm of the gradients", *result.gradient_norm);
  t.optimizer->update(update, *result.gradient_norm);
  return result;
}

std::size_t Trainer::planned_bytes() const {
  const Training& t = *training_;
  return t.plan->arena_bytes() + parameters_.bytes() + parameters_.gradients.bytes() +
         t.optimizer->bytes() + t.accumulated_memory.bytes();
}

std::string Trainer::plan_report() const { return training_->plan->report(); }

bool Trainer::limit_reached(const Progress& progress) const {
  if (options_.max_steps > 0 && progress.step >= options_.max_steps) return true;
  return options_.max_hours > 0 && now_seconds() - started_seconds_ > options_.max_hours * 3600;
}

Progress Trainer::fit(BatchSource& train, BatchSource& validation, Observer& observer,
                      Progress progress) {
  if (train.batches() < options_.accumulate)
    throw Error(ExitCode::usage, "accumulate", fmt::format("--accumulate {}", options_.accumulate),
                fmt::format("an epoch has {} batches, so it would make no step", train.batches()),
                "use a smaller --accumulate or --batch");
  started_seconds_ = now_seconds();
  schedule_.steps_per_epoch = std::max<std::int64_t>(1, train.batches() / options_.accumulate);
  schedule_.total_steps =
      options_.max_steps > 0 ? options_.max_steps : schedule_.steps_per_epoch * options_.epochs;
  while (!progress.finished && progress.epoch < options_.epochs) {
    const double began = now_seconds();
    const std::int64_t first = progress.batch;
    progress = run_epoch(train, observer, progress);
    const bool mid_epoch = progress.batch < train.batches() && !limit_reached(progress);
    if (mid_epoch) {
      observer.save(progress, false);
      return progress;
    }
    const double trained = now_seconds() - began;
    const double images = static_cast<double>((progress.batch - first) * options_.image.n);
    EpochReport report = end_epoch(validation, progress, began);
    report.images_per_s = images / trained;
    progress.batch = 0;
    progress.epoch_loss = 0;
    observer.on_epoch(report);
    observer.save(progress, report.better);
    if (observer.stop_requested()) return progress;
  }
  progress.finished = true;
  return progress;
}

// Runs batches until the epoch ends, a limit is reached or a stop is asked for.
Progress Trainer::run_epoch(BatchSource& train, Observer& observer, Progress progress) {
  train.start(progress.epoch, progress.batch);
  training_->batch_in_step = 0;  // what an epoch's end left short of a step is dropped
  double step_loss = 0;
  while (progress.batch < train.batches()) {
    const double began = now_seconds();
    train.next(images(), labels());
    const double lr = schedule_.rate(progress.step);
    const StepResult result = step(lr);
    ++progress.batch;
    progress.epoch_loss += result.loss;
    step_loss += result.loss / options_.accumulate;
    if (result.gradient_norm) {
      ++progress.step;
      const double seconds = now_seconds() - began;
      observer.on_step({progress.step, progress.epoch, progress.batch, train.batches(), lr,
                        std::exchange(step_loss, 0), *result.gradient_norm, seconds,
                        static_cast<double>(options_.image.n) / seconds});
      if (limit_reached(progress) || observer.stop_requested()) break;
    }
  }
  return progress;
}

EpochReport Trainer::end_epoch(BatchSource& validation, Progress& progress, double began_seconds) {
  EpochReport report;
  report.epoch = progress.epoch;
  report.step = progress.step;
  report.lr = schedule_.rate(std::max<std::int64_t>(progress.step - 1, 0));
  report.train_loss = progress.epoch_loss / static_cast<double>(progress.batch);
  report.validation = evaluator_->score(validation, options_.image, options_.classes,
                                        options_.threshold, &options_.loss);
  const Metrics metrics = report.validation.confusion.metrics();
  const double value = options_.monitor == Monitor::loss  ? report.validation.loss
                       : options_.monitor == Monitor::iou ? metrics.classes.back().iou.value_or(0)
                                                          : metrics.miou.value_or(0);
  const bool less = options_.monitor == Monitor::loss;
  report.better = !progress.best || (less ? value < *progress.best : value > *progress.best);
  ++progress.epoch;
  ++progress.epochs_without_better;
  if (report.better) {
    progress.best = value;
    progress.best_epoch = report.epoch;
    progress.epochs_without_better = 0;
  }
  const bool patient = options_.patience == 0 || progress.epochs_without_better < options_.patience;
  progress.finished = progress.epoch >= options_.epochs || !patient || limit_reached(progress);
  report.seconds = now_seconds() - began_seconds;
  return report;
}

}  // namespace fjord
