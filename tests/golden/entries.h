// The published entries, read from tests/golden/data.
#pragma once

#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "models/models.h"
#include "tests/golden/recipe.h"

namespace fjord::golden {

struct NamedFigures {
  std::string name;
  Shape shape;      // n x h x w x c; empty (1x1x1x1) for parameters, whose model knows theirs
  Figures figures;  // mean and absmean only where a shape is given
};

/// An evaluation-mode run of an encoder or a whole model.
struct ModelEntry {
  std::string name;
  std::string input;  // the stream
  Shape image;
  ModelOptions model;
  bool encoder_only = false;
  std::int64_t weights = 0;  // parameter count of the whole model; 0 for encoders
  std::vector<NamedFigures> outputs;
};

/// Three optimizer steps in training mode, in double.
struct TrainingEntry {
  std::string name;
  std::string input;
  ModelOptions model;
  std::string loss;
  OptimizerOptions optimizer;
  double lr = 0;
  std::vector<double> losses;
  NamedFigures out0;
  std::vector<NamedFigures> grads0, after;  // after: empty where the losses have to do
};

std::vector<ModelEntry> model_entries();
std::vector<TrainingEntry> training_entries();

}  // namespace fjord::golden
