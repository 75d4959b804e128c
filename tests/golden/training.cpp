// The training goldens: three steps of forward, backward and optimizer.
#include <fmt/format.h>

#include <cmath>

#include "tests/golden/goldens.h"

namespace fjord::golden {

namespace {

struct Bounds {
  double losses[3];
  double out_l2, out_values, l2, values, zero;
  double floor;  // of MAnet alone: tensors below this share of the largest count as if they had it,
                 // gradients past a saturated softmax, where PyTorch's fp32 is 7e-2 from double
};
constexpr Bounds proof{{1e-9, 1e-9, 1e-9}, 1e-9, 1e-9, 1e-9, 1e-9, 1e-12, 0};
constexpr Bounds sieve{{2e-5, 1e-3, 1e-2}, 1e-5, 2e-4, 5e-2, 0.2, 1e-6, 1e-2};

/// The worst of many tensors, and which it was.
struct Worst {
  std::string name = "none";
  double error = 0;

  void see(const std::string& tensor, double found) {
    if (std::isnan(error) || found <= error) return;
    error = found;
    name = tensor;
  }
};

/// Rows of all gradients or all tensors after the last step: the worst l2 and the worst value. A
/// tensor that is zero in the golden counts by its own bound.
std::vector<Row> tensor_rows(const std::string& run, const std::string& kind,
                             const std::vector<NamedFigures>& golden, ModelRun& model,
                             const Bounds& bounds) {
  Worst l2, value;
  double largest = 0;
  for (const NamedFigures& wanted : golden) largest = std::fmax(largest, wanted.figures.l2);
  for (const NamedFigures& wanted : golden) {
    const Parameter* p = model.parameters.find(wanted.name);
    check(p != nullptr, wanted.name, "the model has no such parameter");
    const Figures found = figures(kind == "grads0" ? p->gradient : p->value);
    const double norm = wanted.figures.l2;
    const double scale =
        norm == 0 ? bounds.l2 / bounds.zero : norm / std::fmax(norm, bounds.floor * largest);
    l2.see(wanted.name, scale * l2_error(found, wanted.figures));
    value.see(wanted.name,
              (norm == 0 ? 1 : scale) * value_error(found, wanted.figures, p->count()));
  }
  const std::string count = fmt::format("{} tensors", golden.size());
  return {{run, kind + " l2, worst " + l2.name, count, l2.error, bounds.l2},
          {run, kind + " values, worst " + value.name, count, value.error, bounds.values}};
}

void append(std::vector<Row>& rows, std::vector<Row> more) {
  rows.insert(rows.end(), more.begin(), more.end());
}

std::vector<Row> out_rows(const std::string& run, const NamedFigures& golden, const Buffer& logits,
                          const Bounds& bounds) {
  const Figures found = figures(logits);
  return {{run, "out0 l2", fmt::format("{:.12g}", golden.figures.l2),
           l2_error(found, golden.figures), bounds.out_l2},
          {run, "out0 values", "4 values", value_error(found, golden.figures, golden.shape.count()),
           bounds.out_values}};
}

ModelRun prepare(const TrainingEntry& entry, On on) {
  return ModelRun({.backend = on.backend,
                   .dtype = on.dtype,
                   .algorithm = on.algorithm,
                   .mode = Mode::train,
                   .model = entry.model,
                   .image = {.n = 2, .h = 64, .w = 64, .c = entry.model.in_channels},
                   .loss = entry.loss});
}

void fill(ModelRun& run, const TrainingEntry& entry) {
  run.fill_parameters();
  run.fill_image(entry.input);
  const std::int64_t pixels = run.label.shape().count();
  run.fill_label(entry.model.classes == 1 ? binary_labels("train.bintarget", pixels, 0.2)
                                          : class_labels("train.target", pixels, 5));
}

}  // namespace

std::vector<double> trained_weights(const TrainingEntry& entry, On on, int steps) {
  ModelRun run = prepare(entry, on);
  fill(run, entry);
  Optimizer optimizer(run.parameters, entry.optimizer, on.backend);
  for (int step = 0; step < steps; ++step) {
    run.run();
    optimizer.update(entry.lr, {run.loss.slot});
  }
  return values(run.parameters.weights);
}

std::vector<Row> training_rows(const TrainingEntry& entry, On on) {
  Bounds bounds = on.dtype == DType::f64 ? proof : sieve;
  if (entry.model.arch != "manet") bounds.floor = 0;
  ModelRun run = prepare(entry, on);
  fill(run, entry);
  Optimizer optimizer(run.parameters, entry.optimizer, on.backend);
  const std::string name = fmt::format("{} {}", entry.name, to_string(on));
  std::vector<Row> rows;
  for (int step = 0; step < 3; ++step) {
    run.run();
    const double loss = values(*run.loss.slot).at(0), golden = entry.losses.at(step);
    rows.push_back({name, fmt::format("loss of step {}", step + 1), fmt::format("{:.12g}", golden),
                    std::fabs(loss - golden) / golden, bounds.losses[step]});
    if (step == 0) append(rows, out_rows(name, entry.out0, *run.results.at(0).slot, bounds));
    if (step == 0) append(rows, tensor_rows(name, "grads0", entry.grads0, run, bounds));
    optimizer.update(entry.lr, {run.loss.slot});
  }
  if (!entry.after.empty()) append(rows, tensor_rows(name, "after", entry.after, run, bounds));
  return rows;
}

}  // namespace fjord::golden
