// Who watches a run.
#include "tools/run_observer.h"

#include <cmath>

#include "tools/log.h"
#include "tools/plots.h"
#include "tools/signals.h"

namespace fjord {

namespace {

std::vector<std::vector<std::int64_t>> counts_of(const ConfusionMatrix& matrix) {
  std::vector<std::vector<std::int64_t>> rows;
  for (int truth = 0; truth < matrix.classes(); ++truth) {
    rows.emplace_back();
    for (int found = 0; found < matrix.classes(); ++found)
      rows.back().push_back(matrix.at(truth, found));
  }
  return rows;
}

std::string figure(const Figure& value) { return value ? fmt::format("{:.4f}", *value) : "n/a"; }

// A moving mean that starts at the first value.
double follow(double mean, double value, bool first) {
  return first ? value : mean + 0.1 * (value - mean);
}

}  // namespace

RunObserver::RunObserver(RunObserverOptions options)
    : options_(std::move(options)),
      metrics_(*options_.folder / "metrics.csv", metrics_header(options_.classes),
               options_.resumed_at),
      steps_(*options_.folder / "steps.csv", steps_header(), options_.resumed_at),
      events_(options_.folder->path(), options_.resumed_at) {}

double RunObserver::remaining_seconds(const StepReport& report) const {
  std::int64_t batches = (options_.epochs - report.epoch) * report.batches - report.batch;
  if (options_.max_steps > 0) batches = std::min(batches, options_.max_steps - report.step);
  return static_cast<double>(batches) * step_seconds_;
}

void RunObserver::on_step(const StepReport& report) {
  const bool first = smooth_rate_ == 0;
  smooth_rate_ = follow(smooth_rate_, report.images_per_s, first);
  if (std::isfinite(report.loss)) smooth_loss_ = follow(smooth_loss_, report.loss, first);
  step_seconds_ = follow(step_seconds_, report.seconds, first);
  steps_.append(steps_row({report.step, report.epoch + 1, report.lr, report.loss,
                           report.gradient_norm, report.images_per_s}));
  events_.scalar("train/loss", report.step, report.loss);
  events_.scalar("lr", report.step, report.lr);
  progress_.show({.epoch = report.epoch + 1,
                  .epochs = options_.epochs,
                  .step = report.batch,
                  .steps = report.batches,
                  .loss = smooth_loss_,
                  .images_per_s = smooth_rate_,
                  .remaining_seconds = remaining_seconds(report),
                  .memory_mib = resident_mib()});
}

void RunObserver::write_events(const EpochReport& report, const Metrics& metrics) {
  events_.scalar("val/loss", report.step, report.validation.loss);
  if (metrics.miou) events_.scalar("val/miou", report.step, *metrics.miou);
  for (const ClassMetrics& entry : metrics.classes)
    if (entry.iou) events_.scalar("val/iou_" + entry.name, report.step, *entry.iou);
  events_.flush();
}

void RunObserver::on_epoch(const EpochReport& report) {
  const Metrics metrics = report.validation.confusion.metrics(options_.classes);
  EpochRow row{.epoch = report.epoch + 1,
               .step = report.step,
               .lr = report.lr,
               .train_loss = report.train_loss,
               .val_loss = report.validation.loss,
               .val_iou = {},
               .val_miou = metrics.miou,
               .val_accuracy = metrics.accuracy,
               .seconds = report.seconds,
               .images_per_s = report.images_per_s,
               .peak_memory_mib = peak_resident_mib()};
  for (const ClassMetrics& entry : metrics.classes) row.val_iou.push_back(entry.iou);
  metrics_.append(metrics_row(row));
  write_events(report, metrics);
  progress_.clear();
  const bool binary = options_.classes.size() == 2 && options_.monitor == Monitor::iou;
  say("epoch {}/{}: train loss {:.4f}, val loss {:.4f}, val {} {}, accuracy {}, {}, {:.1f} img/s{}",
      report.epoch + 1, options_.epochs, report.train_loss, report.validation.loss,
      binary ? "IoU" : "mIoU", figure(binary ? metrics.classes.back().iou : metrics.miou),
      figure(metrics.accuracy), duration_text(report.seconds), report.images_per_s,
      report.better ? " *best" : "");
  if (report.averaged > 0)
    say("the model is the equal average of what {} epochs ended with, its running statistics made "
        "anew over the training images; it counts as the best",
        report.averaged);
  if (report.skipped > 0)
    say("fp16: {} updates left out so far, where loss or gradients overflowed", report.skipped);
  images_per_s = report.images_per_s;
  try {
    draw_run(options_.folder->path(), options_.classes, counts_of(report.validation.confusion));
    if (options_.draw_samples) options_.draw_samples();
  } catch (const Error& error) {
    // Pictures are worth a warning, not the run; a full disk stops it where the checkpoint is.
    if (error.exit != ExitCode::io) throw;
    warn("pictures cannot be written: {}", error.what());
  }
}

void RunObserver::save(const Progress& progress, bool better) {
  try {
    options_.save(progress, better);
    failed_saves_ = 0;
    save_error_ = nullptr;
  } catch (const Error& error) {
    if (error.exit != ExitCode::io || ++failed_saves_ >= 3) throw;
    save_error_ = std::current_exception();
    warn("{}; the checkpoint before stays, the next try is after the next epoch", error.what());
  }
}

void RunObserver::require_saved() const {
  if (save_error_) std::rethrow_exception(save_error_);
}

bool RunObserver::stop_requested() { return stop_signal() != 0; }

}  // namespace fjord
