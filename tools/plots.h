// Charts as PNG files: curves, bars and confusion matrices; and the charts of a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace fjord {

struct Curve {
  std::string name;
  std::vector<double> x, y;
  bool dots = false;   // mark every value
  bool faint = false;  // behind the others
};

struct LinePlot {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  std::optional<double> y_min = {}, y_max = {};  // default: what the values need
  bool logarithmic = false;                      // y
};
void draw_lines(const std::filesystem::path& path, const LinePlot& plot);

struct BarPlot {
  std::string title, y_label;
  std::vector<std::string> labels;
  std::vector<std::optional<double>> values;  // absent: "n/a"
  std::optional<double> y_max = {};
  bool percent = false;  // values are shares, written as per cent
};
void draw_bars(const std::filesystem::path& path, const BarPlot& plot);

struct ConfusionPlot {
  std::string title;
  std::vector<std::string> classes;
  std::vector<std::vector<std::int64_t>> pixels;  // rows = truth
};
void draw_confusion(const std::filesystem::path& path, const ConfusionPlot& plot);

/// loss, miou, learning_rate, class_iou and confusion under run/plots, from the run's tables.
void draw_run(const std::filesystem::path& run, const std::vector<std::string>& classes,
              const std::vector<std::vector<std::int64_t>>& confusion);

/// About `count` round numbers from at or below low to at or above high.
std::vector<double> nice_ticks(double low, double high, int count);

}  // namespace fjord
