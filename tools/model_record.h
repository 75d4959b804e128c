// What a model file says beside its weights: the network, how its input is made, what its classes
// mean in label files.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/label_map.h"
#include "data/normalize.h"
#include "data/resize.h"
#include "engine/safetensors.h"
#include "models/models.h"

namespace fjord {

struct ModelRecord {
  ModelOptions model;
  std::optional<Normalization> normalization;  // absent: a file of another program
  std::optional<Framing> framing;
  std::optional<LabelMap> labels;
};

Metadata to_metadata(const ModelRecord& record);
/// Takes what the metadata says; throws Error{model_file} naming `file` for what cannot be read.
void read_metadata(ModelRecord& record, const std::string& file, const Metadata& metadata);

/// background and foreground for one logit, else the numbers: the names of ConfusionMatrix.
std::vector<std::string> class_names(int classes);
/// Classes in a label: 2 for one logit.
int label_classes(int classes);

std::string to_string(const Framing& framing);
Resampling resampling_of(const std::string& name);
std::string name_of(Resampling method);

}  // namespace fjord
