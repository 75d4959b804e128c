// metrics.csv and steps.csv of a run: written a row at a time, cut back when a run is resumed, read
// by the plots.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fjord {

/// Epochs and steps count from 1.
struct EpochRow {
  std::int64_t epoch = 0, step = 0;
  double lr = 0, train_loss = 0, val_loss = 0;
  std::vector<std::optional<double>> val_iou;  // per class; absent: no such pixel
  std::optional<double> val_miou;
  std::optional<double> val_accuracy;
  double seconds = 0, images_per_s = 0, peak_memory_mib = 0;
};

struct StepRow {
  std::int64_t step = 0, epoch = 0;
  double lr = 0, loss = 0, grad_norm = 0, images_per_s = 0;
};

/// Appends rows. A disk that refuses one is warned of once; training goes on.
class CsvFile {
 public:
  /// Keeps the rows of the file whose step is at most last_step (none: a new file).
  CsvFile(const std::filesystem::path& path, std::string header,
          std::optional<std::int64_t> last_step);
  void append(const std::string& row);

 private:
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

std::string metrics_header(const std::vector<std::string>& class_names);
std::string metrics_row(const EpochRow& row);
std::string steps_header();
std::string steps_row(const StepRow& row);

std::vector<EpochRow> read_metrics(const std::filesystem::path& path);
std::vector<StepRow> read_steps(const std::filesystem::path& path);

}  // namespace fjord
