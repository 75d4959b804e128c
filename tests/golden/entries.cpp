// Reads the tab-separated files that make_golden_data.py writes.
#include "tests/golden/entries.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "models/config_names.h"

namespace fjord::golden {

namespace {

using Fields = std::vector<std::string>;

Fields split(const std::string& text, char separator) {
  Fields fields;
  std::istringstream in(text);
  for (std::string field; std::getline(in, field, separator);) fields.push_back(field);
  return fields;
}

std::vector<Fields> lines(const char* file) {
  const std::string path = std::string(FJORD_GOLDEN_DATA) + "/" + file;
  std::ifstream in(path);
  if (!in) throw std::runtime_error("golden data not found: " + path);
  std::vector<Fields> all;
  for (std::string line; std::getline(in, line);) all.push_back(split(line, '\t'));
  return all;
}

/// "2x3x64x101" in PyTorch's order.
Shape shape_of(const std::string& text) {
  const Fields extents = split(text, 'x');
  return {.n = std::stoll(extents.at(0)),
          .h = std::stoll(extents.at(2)),
          .w = std::stoll(extents.at(3)),
          .c = std::stoll(extents.at(1))};
}

/// kind, name, [shape, mean, absmean,] l2, four values.
NamedFigures named_figures(const Fields& fields) {
  NamedFigures named{fields.at(1), {}, {}};
  std::size_t at = 2;
  if (fields.size() == 10) {
    named.shape = shape_of(fields[at++]);
    named.figures.mean = std::stod(fields[at++]);
    named.figures.absmean = std::stod(fields[at++]);
  }
  named.figures.l2 = std::stod(fields.at(at++));
  for (double& value : named.figures.at) value = std::stod(fields.at(at++));
  return named;
}

void read_option(const Fields& pair, ModelOptions& model) {
  if (pair[0] == "-") return;
  static const std::map<std::string, Interpolation> modes = {
      {"nearest-exact", Interpolation::nearest_exact},
      {"bilinear", Interpolation::bilinear},
      {"bicubic", Interpolation::bicubic},
      {"area", Interpolation::area}};
  if (pair[0] == "interpolation") model.interpolation = modes.at(pair.at(1));
  if (pair[0] == "attention") model.attention = Attention::scse;
  if (pair[0] == "norm")
    model.decoder_norm =
        pair.at(1) == "instancenorm" ? DecoderNorm::instance : DecoderNorm::identity;
  if (pair[0] == "activation") model.activation = value_of(pair.at(1), kFinalActivations);
  if (pair[0] == "classification") model.classification = {.classes = std::stoi(pair.at(1))};
}

ModelEntry model_entry(const Fields& fields) {
  ModelEntry entry;
  entry.encoder_only = fields.at(0) == "encoder";
  entry.name = fields.at(1);
  entry.input = fields.at(2);
  entry.image = shape_of(fields.at(3));
  entry.model.encoder = fields.at(4);
  entry.model.in_channels = static_cast<int>(entry.image.c);
  entry.model.classes = 5;
  entry.model.encoder_depth = std::stoi(fields.at(5));
  if (!entry.encoder_only) {
    entry.model.decoder_channels.clear();
    for (const std::string& channels : split(fields.at(6), ','))
      entry.model.decoder_channels.push_back(std::stoi(channels));
  }
  entry.weights = std::stoll(fields.at(7));
  if (entry.encoder_only) return entry;
  entry.model.arch = fields.at(8);
  for (const std::string& word : split(fields.at(9), ' '))
    read_option(split(word, '='), entry.model);
  return entry;
}

/// "sgd lr=0.1 momentum=0.9 decay=1e-4 nesterov".
void read_optimizer(const std::string& text, TrainingEntry& entry) {
  OptimizerOptions& optimizer = entry.optimizer;
  optimizer.kind = text.starts_with("adamw") ? OptimizerKind::adamw : OptimizerKind::sgd;
  for (const std::string& word : split(text, ' ')) {
    const Fields pair = split(word, '=');
    const double value = pair.size() == 2 ? std::stod(pair[1]) : 0;
    if (word == "nesterov") optimizer.sgd.nesterov = true;
    if (pair[0] == "lr") entry.lr = value;
    if (pair[0] == "momentum") optimizer.sgd.momentum = value;
    if (pair[0] == "decay") optimizer.weight_decay = value;
  }
}

TrainingEntry training_entry(const Fields& fields) {
  TrainingEntry entry;
  entry.name = fields.at(1);
  entry.model.encoder = fields.at(2);
  entry.input = fields.at(3);
  entry.model.in_channels = std::stoi(fields.at(4));
  entry.model.classes = std::stoi(fields.at(5));
  entry.loss = fields.at(6);
  entry.optimizer.weight_decay = 0;
  entry.optimizer.sgd.momentum = 0;
  read_optimizer(fields.at(7), entry);
  entry.model.arch = fields.at(8);
  for (const std::string& word : split(fields.at(9), ' '))
    read_option(split(word, '='), entry.model);
  for (std::size_t i = 10; i < fields.size(); ++i) entry.losses.push_back(std::stod(fields[i]));
  return entry;
}

}  // namespace

std::vector<ModelEntry> model_entries() {
  std::vector<ModelEntry> entries;
  for (const Fields& fields : lines("models.txt")) {
    if (fields.at(0) == "tensor")
      entries.back().outputs.push_back(named_figures(fields));
    else
      entries.push_back(model_entry(fields));
  }
  return entries;
}

std::vector<TrainingEntry> training_entries() {
  std::vector<TrainingEntry> entries;
  for (const char* file : {"training.txt", "training_more.txt"})
    for (const Fields& fields : lines(file)) {
      if (fields.at(0) == "run") entries.push_back(training_entry(fields));
      if (fields.at(0) == "out0") entries.back().out0 = named_figures(fields);
      if (fields.at(0) == "grads0") entries.back().grads0.push_back(named_figures(fields));
      if (fields.at(0) == "after") entries.back().after.push_back(named_figures(fields));
    }
  return entries;
}

}  // namespace fjord::golden
