// What a model is made from, as files say it: SMP's config.json, and our own files' metadata.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "models/models.h"

namespace fjord {

/// Options that a file gives, and lines for the user about what it says beyond them.
struct ModelConfig {
  ModelOptions options;
  std::vector<std::string> notes;
};

/// config.json as smp.from_pretrained reads it and save_pretrained writes it: all constructor
/// arguments, sorted, indented by 2. encoder_weights is null: the file has its weights.
std::string smp_config(const ModelOptions& options);

/// Throws Error{model_file, "config"} for a value that is wrong or that fjord does not build (a
/// layer norm); `name` names the text in errors.
ModelConfig parse_smp_config(const std::string& name, const std::string& text);
ModelConfig read_smp_config(const std::filesystem::path& path);

/// The options as metadata of a model file, and back; nothing if another program wrote the file.
Metadata model_metadata(const ModelOptions& options);
std::optional<ModelOptions> model_options(const std::string& name, const Metadata& metadata);

}  // namespace fjord
