// The training step and the loop over epochs.
#include "engine/trainer.h"

#include <chrono>
#include <cmath>
#include <deque>
#include <utility>

#include "engine/running_statistics.h"
#include "engine/training_step.h"

namespace fjord {

namespace {

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

/// A batch that was queued and whose result is still to come.
struct Trainer::Flight {
  std::int64_t step = 0;
  int epoch = 0;
  std::int64_t batch = 0, batches = 0;
  double lr = 0, began = 0;
  bool due = false;
};

Trainer::Trainer(Model model, Parameters& parameters, TrainerOptions options)
    : options_(std::move(options)), parameters_(parameters), schedule_(options_.schedule) {
  if (const auto& average = options_.optimizer.average)
    if (const Swa* swa = std::get_if<Swa>(&*average)) schedule_.swa = *swa;
  declare_parameters(parameters, model, static_cast<int>(options_.image.c), options_.seed,
                     options_.backend);
  training_ = std::make_unique<TrainingStep>(model, parameters, options_);
  evaluator_ = std::make_unique<Evaluator>(std::move(model), parameters, training_->arena(),
                                           options_.backend, options_.plan, options_.precision,
                                           options_.algorithm, FilterMemory::low);
  training_->demand_memory(*evaluator_);
  training_->bind();
}

Trainer::~Trainer() = default;

Optimizer& Trainer::optimizer() { return training_->optimizer(); }
Evaluator& Trainer::evaluator() { return *evaluator_; }
int Trainer::fill(BatchSource& source) { return training_->fill(source); }
float* Trainer::images() { return training_->images(); }
std::uint8_t* Trainer::labels() { return training_->labels(); }

Trainer::StepResult Trainer::step(double lr) {
  const bool due = training_->update_due();
  training_->enqueue(lr);
  return training_->take(due);
}

std::size_t Trainer::planned_bytes() const {
  return training_->bytes() + parameters_.bytes() + parameters_.gradients.bytes();
}

std::string Trainer::plan_report() const { return training_->report(); }

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
    optimizer().exchange_average();
    if (mid_epoch) {
      observer.save(progress, false);
      optimizer().exchange_average();
      return progress;
    }
    const double trained = now_seconds() - began;
    const double images = static_cast<double>((progress.batch - first) * options_.image.n);
    const int averaged = average_epoch(train, progress);
    EpochReport report = end_epoch(validation, progress, averaged);
    report.images_per_s = images / trained;
    report.seconds = now_seconds() - began;
    progress.batch = 0;
    progress.epoch_loss = 0;
    observer.on_epoch(report);
    observer.save(progress, report.better);
    optimizer().exchange_average();
    if (observer.stop_requested()) return progress;
  }
  progress.finished = true;
  return progress;
}

// Runs batches until the epoch ends, a limit is reached or a stop is asked for. A device that works
// by itself is asked for a batch's result after the next one is queued, so that it never waits.
Progress Trainer::run_epoch(BatchSource& train, Observer& observer, Progress progress) {
  TrainingStep& t = *training_;
  train.start(progress.epoch, progress.batch);
  t.start_epoch(progress.epoch);
  step_loss_ = 0;
  landed_seconds_ = now_seconds();
  std::deque<Flight> flights;
  const auto land_oldest = [&] {
    land(flights.front(), progress, observer);
    flights.pop_front();
  };
  while (progress.batch < train.batches()) {
    const double began = now_seconds();
    t.fill(train);
    const double lr = schedule_.rate(progress.step);
    const bool due = t.update_due();
    t.enqueue(lr);
    ++progress.batch;
    progress.step += due;
    flights.push_back(
        {progress.step, progress.epoch, progress.batch, train.batches(), lr, began, due});
    while (flights.size() > (t.immediate() ? 0u : 1u)) land_oldest();
    if (due && (limit_reached(progress) || observer.stop_requested())) break;
  }
  while (!flights.empty()) land_oldest();
  return progress;
}

void Trainer::land(const Flight& flight, Progress& progress, Observer& observer) {
  const StepResult result = training_->take(flight.due);
  const double now = now_seconds(), last = std::exchange(landed_seconds_, now);
  // A batch that fp16 could not count stands for the mean of those before it.
  const double mean =
      progress.epoch_loss / static_cast<double>(std::max<std::int64_t>(flight.batch - 1, 1));
  progress.epoch_loss += std::isfinite(result.loss) ? result.loss : mean;
  step_loss_ += result.loss / options_.accumulate;
  if (!flight.due) return;
  const double seconds = now - (training_->immediate() ? flight.began : last);
  observer.on_step({flight.step, flight.epoch, flight.batch, flight.batches, flight.lr,
                    std::exchange(step_loss_, 0), *result.gradient_norm, seconds,
                    static_cast<double>(options_.image.n) / seconds, result.skipped});
}

// The trained weights join the equal average, where there is one, and give place to it when no
// epoch follows: then of how many epochs it is, else 0.
int Trainer::average_epoch(BatchSource& train, const Progress& progress) {
  if (!schedule_.swa || progress.epoch < schedule_.swa->start) return 0;
  const int count = progress.epoch - schedule_.swa->start + 1;
  optimizer().join_average(count);
  if (progress.epoch + 1 < options_.epochs && !limit_reached(progress)) return 0;
  optimizer().adopt_average();
  remake_running_statistics(*training_, parameters_, train, progress.epoch + 1);
  return count;
}

EpochReport Trainer::end_epoch(BatchSource& validation, Progress& progress, int averaged) {
  EpochReport report;
  report.averaged = averaged;
  report.epoch = progress.epoch;
  report.step = progress.step;
  report.lr = schedule_.rate(std::max<std::int64_t>(progress.step - 1, 0));
  report.train_loss = progress.epoch_loss / static_cast<double>(progress.batch);
  const LossExpression loss = options_.loss.at(progress.epoch);
  report.validation =
      evaluator_->score(validation, options_.image, options_.classes, options_.threshold, &loss);
  const Metrics metrics = report.validation.confusion.metrics();
  const double value = options_.monitor == Monitor::loss  ? report.validation.loss
                       : options_.monitor == Monitor::iou ? metrics.classes.back().iou.value_or(0)
                                                          : metrics.miou.value_or(0);
  const bool less = options_.monitor == Monitor::loss;
  report.better =
      averaged > 0 || !progress.best || (less ? value < *progress.best : value > *progress.best);
  ++progress.epoch;
  ++progress.epochs_without_better;
  if (report.better) {
    progress.best = value;
    progress.best_epoch = report.epoch;
    progress.epochs_without_better = 0;
  }
  // An average whose time runs out while it is scored ends with its next step.
  const bool averaging = schedule_.swa && report.epoch >= schedule_.swa->start;
  const bool patient = options_.patience == 0 || progress.epochs_without_better < options_.patience;
  progress.finished = averaged > 0 || progress.epoch >= options_.epochs || !patient ||
                      (limit_reached(progress) && !averaging);
  if (options_.precision == Precision::fp16)
    report.skipped = training_->optimizer().progress().skipped;
  return report;
}

}  // namespace fjord
