// Curves and bars, and the charts of a run; confusion matrices are in confusion_plot.cpp.
#include "tools/plots.h"

#include <algorithm>
#include <cmath>

#include "data/image_write.h"
#include "tools/axes.h"
#include "tools/csv.h"

namespace fjord {

namespace {

constexpr int kWidth = 900, kHeight = 600;

void widen(double& low, double& high, const std::vector<double>& values) {
  for (const double value : values)
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
}

Axes axes_of(const LinePlot& plot) {
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
  for (const Curve& curve : plot.curves) {
    widen(x_low, x_high, curve.x);
    widen(y_low, y_high, curve.y);
  }
  if (x_low > x_high) x_low = 0, x_high = 1;
  if (y_low > y_high) y_low = 0, y_high = 1;
  if (plot.y_min) y_low = *plot.y_min;
  if (plot.y_max) y_high = *plot.y_max;
  Axes axes;
  axes.area = {86, 64, kWidth - 86 - 30, kHeight - 64 - 70};
  axes.logarithmic = plot.logarithmic && y_low > 0;
  axes.set_range(x_low, x_high, y_low, y_high);
  return axes;
}

// A faint curve is the paler form of the first one.
Color color_of(const std::vector<Curve>& curves, std::size_t index) {
  return curves[index].faint ? mix(curve_color(0), kPaper, 0.65) : curve_color(index);
}

void draw_legend(Canvas& canvas, const Axes& axes, const std::vector<Curve>& curves) {
  const TextStyle style{.height = 13};
  double x = axes.area.x + axes.area.width;
  for (auto curve = curves.rbegin(); curve != curves.rend(); ++curve) {
    const std::size_t index = static_cast<std::size_t>(curves.rend() - curve) - 1;
    x -= Canvas::text_width(curve->name, style);
    canvas.text({x, 46}, curve->name, style);
    x -= 34;
    canvas.line({x, 46}, {x + 24, 46}, color_of(curves, index), curve->faint ? 1 : 2.5);
    x -= 20;
  }
}

void draw_curve(Canvas& canvas, const Axes& axes, const Curve& curve, Color color) {
  std::vector<cv::Point2d> points;
  auto flush = [&] {
    if (points.size() > 1) canvas.polyline(points, color, curve.faint ? 1 : 2.5);
    points.clear();
  };
  for (std::size_t i = 0; i < curve.y.size(); ++i) {
    if (!std::isfinite(curve.y[i])) {
      flush();
      continue;
    }
    points.push_back(axes.at(curve.x[i], curve.y[i]));
    if (curve.dots && curve.y.size() <= 60) canvas.dot(points.back(), 3.5, color);
  }
  flush();
}

// Means over windows of steps: a curve that can be read beside the raw values.
std::vector<double> smoothed(const std::vector<double>& values) {
  const std::size_t reach = std::max<std::size_t>(values.size() / 60, 2);
  std::vector<double> means;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t begin = i < reach ? 0 : i - reach,
                      end = std::min(i + reach + 1, values.size());
    double sum = 0;
    for (std::size_t j = begin; j < end; ++j) sum += values[j];
    means.push_back(sum / static_cast<double>(end - begin));
  }
  return means;
}

template <class Row, class Value>
std::vector<double> column(const std::vector<Row>& rows, Value value) {
  std::vector<double> list;
  for (const Row& row : rows) list.push_back(static_cast<double>(value(row)));
  return list;
}

}  // namespace

void draw_lines(const std::filesystem::path& path, const LinePlot& plot) {
  Canvas canvas(kWidth, kHeight);
  const Axes axes = axes_of(plot);
  axes.draw(canvas, {plot.title, plot.x_label, plot.y_label});
  for (const bool faint : {true, false})
    for (std::size_t i = 0; i < plot.curves.size(); ++i)
      if (plot.curves[i].faint == faint) {
        draw_curve(canvas, axes, plot.curves[i], color_of(plot.curves, i));
      }
  if (plot.curves.size() > 1) draw_legend(canvas, axes, plot.curves);
  write_png(path, canvas.image());
}

void draw_bars(const std::filesystem::path& path, const BarPlot& plot) {
  Canvas canvas(kWidth, kHeight);
  double high = 0;
  for (const auto& value : plot.values) high = std::max(high, value.value_or(0));
  Axes axes;
  axes.area = {86, 64, kWidth - 86 - 30, kHeight - 64 - 70};
  axes.set_range(0, 1, 0, plot.y_max.value_or(high > 0 ? high : 1));
  axes.draw(canvas, {plot.title, "", plot.y_label}, {.x_ticks = false});
  const double slot =
      axes.area.width / static_cast<double>(std::max<std::size_t>(plot.values.size(), 1));
  for (std::size_t i = 0; i < plot.values.size(); ++i) {
    const double middle = axes.area.x + (static_cast<double>(i) + 0.5) * slot;
    const double bottom = axes.at(0, 0).y;
    const double top = plot.values[i] ? axes.at(0, *plot.values[i]).y : bottom;
    const double half = std::min(slot * 0.35, 60.0);
    canvas.fill({middle - half, top, 2 * half, bottom - top}, class_color(i));
    const std::string figure = !plot.values[i] ? "n/a"
                               : plot.percent  ? fmt::format("{:.1f} %", *plot.values[i] * 100)
                                               : fmt::format("{:.3f}", *plot.values[i]);
    canvas.text({middle, top - 13}, figure, {.height = 13, .align = Align::center});
    canvas.text({middle, bottom + 18}, fitted(plot.labels[i], slot - 6, {.height = 13}),
                {.height = 13, .align = Align::center});
  }
  write_png(path, canvas.image());
}

namespace {

LinePlot loss_plot(const std::vector<EpochRow>& epochs, const std::vector<StepRow>& steps) {
  const auto step_x = column(steps, [](const StepRow& row) { return row.step; });
  const auto losses = column(steps, [](const StepRow& row) { return row.loss; });
  LinePlot plot{.title = "Loss", .x_label = "step", .y_label = "loss", .curves = {}, .y_min = 0};
  plot.curves = {{"training", step_x, smoothed(losses)},
                 {"validation", column(epochs, [](const EpochRow& row) { return row.step; }),
                  column(epochs, [](const EpochRow& row) { return row.val_loss; }), true},
                 {"every step", step_x, losses, false, true}};
  return plot;
}

LinePlot iou_plot(const std::vector<EpochRow>& epochs, const std::vector<std::string>& classes) {
  const auto number = column(epochs, [](const EpochRow& row) { return row.epoch; });
  LinePlot plot{.title = "Validation IoU",
                .x_label = "epoch",
                .y_label = "IoU",
                .curves = {},
                .y_min = 0,
                .y_max = 1};
  plot.curves = {{"mean", number,
                  column(epochs, [](const EpochRow& row) { return row.val_miou.value_or(NAN); }),
                  true}};
  if (classes.size() <= 2)
    plot.curves.push_back(
        {classes.back(), number,
         column(epochs, [](const EpochRow& row) { return row.val_iou.back().value_or(NAN); }),
         true});
  return plot;
}

LinePlot rate_plot(const std::vector<StepRow>& steps) {
  LinePlot plot{
      .title = "Learning rate", .x_label = "step", .y_label = "rate", .curves = {}, .y_min = 0};
  plot.curves = {{"lr", column(steps, [](const StepRow& row) { return row.step; }),
                  column(steps, [](const StepRow& row) { return row.lr; })}};
  return plot;
}

}  // namespace

void draw_run(const std::filesystem::path& run, const std::vector<std::string>& classes,
              const std::vector<std::vector<std::int64_t>>& confusion) {
  const std::filesystem::path folder = run / "plots";
  std::filesystem::create_directories(folder);
  const std::vector<EpochRow> epochs = read_metrics(run / "metrics.csv");
  const std::vector<StepRow> steps = read_steps(run / "steps.csv");
  if (epochs.empty()) return;
  draw_lines(folder / "loss.png", loss_plot(epochs, steps));
  draw_lines(folder / "miou.png", iou_plot(epochs, classes));
  draw_lines(folder / "learning_rate.png", rate_plot(steps));
  draw_bars(folder / "class_iou.png",
            {.title = fmt::format("Validation IoU by class, epoch {}", epochs.back().epoch),
             .y_label = "IoU",
             .labels = classes,
             .values = epochs.back().val_iou,
             .y_max = 1});
  draw_confusion(
      folder / "confusion.png",
      {fmt::format("Validation pixels, epoch {}", epochs.back().epoch), classes, confusion});
}

}  // namespace fjord
