// Who watches a run: progress, tables, events, plots, samples and checkpoints.
#pragma once

#include <exception>
#include <functional>

#include "tools/csv.h"
#include "tools/events.h"
#include "tools/progress.h"
#include "tools/training.h"

namespace fjord {

struct RunObserverOptions {
  const RunFolder* folder = nullptr;
  std::vector<std::string> classes;
  int epochs = 0;
  std::int64_t max_steps = 0;  // 0: no limit
  Monitor monitor = Monitor::iou;
  std::optional<std::int64_t> resumed_at;  // the step of the checkpoint that is gone on from
  /// Writes a checkpoint; `better`: it is also the best.
  std::function<void(const Progress&, bool better)> save;
  /// Draws samples of the validation set into the folder.
  std::function<void()> draw_samples;
};

class RunObserver : public Observer {
 public:
  explicit RunObserver(RunObserverOptions options);

  void on_step(const StepReport& report) override;
  void on_epoch(const EpochReport& report) override;
  void save(const Progress& progress, bool better) override;
  bool stop_requested() override;
  /// Throws the error of the last save, if it failed.
  void require_saved() const;

  double images_per_s = 0;  // of the latest epoch

 private:
  void write_events(const EpochReport& report, const Metrics& metrics);
  double remaining_seconds(const StepReport& report) const;

  const RunObserverOptions options_;
  CsvFile metrics_, steps_;
  EventFile events_;
  ProgressLine progress_;
  double smooth_rate_ = 0, smooth_loss_ = 0, step_seconds_ = 0;
  int failed_saves_ = 0;
  std::exception_ptr save_error_;
};

}  // namespace fjord
