// A model recorded, planned, and filled by the golden recipe, on any backend.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/loss_expression.h"
#include "engine/ops.h"
#include "engine/plan.h"
#include "models/models.h"
#include "tests/golden/recipe.h"

namespace fjord::golden {

struct RunOptions {
  Backend backend = Backend::cpu;
  DType dtype = DType::f32;
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  Mode mode = Mode::eval;
  std::optional<FilterMemory> inference = {};
  ModelOptions model = {};
  Shape image = {};
  bool encoder_only = false;  // the results are the features
  std::string loss = {};      // an expression; with it, backward steps are recorded as well
  PlanOptions plan = {};
  Activations activations = Activations::kept;
};

class ModelRun {
 public:
  explicit ModelRun(const RunOptions& options);

  /// Every weight and statistic as the recipe gives it to that name.
  void fill_parameters();
  void fill_image(const std::string& stream);
  void fill_image(const std::vector<double>& nhwc);
  void fill_label(const std::vector<std::uint8_t>& classes);
  void run() { plan->run(); }

  const RunOptions options;
  Parameters parameters;
  Tape tape;
  Arena arena;
  Tensor image, label, loss;
  std::vector<Tensor> results;  // the logits, or the features
  std::optional<Plan> plan;

 private:
  Tensor kept(Net net, Tensor x, const std::string& name) const;
};

/// Logits as SMP's module gives them out; of exports alone, so that no plan does it.
void activate(const Buffer& logits, FinalActivation activation);

/// A buffer's values in memory order, whatever its type.
std::vector<double> values(const Buffer& buffer);
Figures figures(const Buffer& buffer);

/// Distances as golden files measure them: l2 relative, values by the golden tensor's rms. A tensor
/// that is zero in the golden gives what was found there.
double l2_error(const Figures& found, const Figures& golden);
double value_error(const Figures& found, const Figures& golden, std::int64_t count);

}  // namespace fjord::golden
