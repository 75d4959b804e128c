// Where a model lies on disk and what it is.
#pragma once

#include <filesystem>

#include "engine/file_bytes.h"
#include "engine/tensor_file.h"
#include "tools/network.h"

namespace fjord {

struct ModelFile {
  std::filesystem::path weights;  // model.safetensors
  ModelRecord record;
};

/// Throws Error{model_file} that names fjord-import for a file of torch.save.
void refuse_torch_file(const FileBytes& bytes);

/// A run folder (checkpoints/best or last), a folder with model.safetensors and perhaps
/// config.json, or a .safetensors, whose tensors tell what flags do not.
ModelFile find_model(const ModelRequest& request);

/// The file of weights: the path itself, or of a folder model.safetensors or, as older programs
/// name it, pytorch_model.bin; of a run folder the checkpoint's.
std::filesystem::path weights_file(const std::filesystem::path& path,
                                   const std::string& which = "best");

/// What a segmentation model says of itself in its metadata, or in config.json beside it where the
/// path is a folder; nothing of an encoder.
std::optional<ModelOptions> options_said(const std::filesystem::path& path, const TensorFile& file);

/// The network of a file that does not say it: what flags say, the rest read off its tensors.
/// Throws Error{usage} for a flag that its tensors contradict.
ModelOptions options_recognised(const TensorFile& file, const ModelFlags& flags,
                                const Options* options);

/// What a model says of itself is obeyed; throws Error{usage} for a flag that was given and says
/// otherwise. `name` is the model's.
void refuse_contradictions(const Options& options, const ModelFlags& flags,
                           const ModelOptions& model, const std::string& name);

}  // namespace fjord
