// Where a model lies on disk and what it is.
#pragma once

#include <filesystem>

#include "tools/network.h"

namespace fjord {

struct ModelFile {
  std::filesystem::path weights;  // model.safetensors
  ModelRecord record;
};

/// A run folder (checkpoints/best or last), a folder with model.safetensors and perhaps
/// config.json, or a .safetensors, whose tensors tell what flags do not.
ModelFile find_model(const ModelRequest& request);

}  // namespace fjord
