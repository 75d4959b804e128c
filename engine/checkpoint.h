// Checkpoints: folders that appear whole or not at all, and the links `last` and `best` to them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/state_dict.h"

namespace fjord {

/// State kept beside the weights: an optimizer's moments, an average of the weights. Flat, of any
/// type, in the memory of the backend's device; the buffer outlives the call.
struct NamedBuffer {
  std::string name;
  const Buffer* buffer = nullptr;
  Backend backend = Backend::cpu;
};

/// What a checkpoint is made of. Equal contents give equal bytes.
struct Checkpoint {
  const Parameters& parameters;
  std::vector<NamedBuffer> state = {};  // training.safetensors: tensors
  Metadata scalars = {};                // training.safetensors: step, epoch, best value, ...
  Metadata metadata = {};               // model.safetensors: architecture, preprocessing, labels
  std::string config = {};              // config.json; not written when empty
};

/// Which links point to the new checkpoint afterwards.
struct CheckpointName {
  std::int64_t step = 0;
  bool last = true;
  bool best = false;
};

/// Writes `folder`/step-N through step-N.tmp, reads it back, points the links to it and removes the
/// checkpoints that no link points to. `folder` is created. Throws Error{io} (disk full, no
/// permission) or Error{numeric} (values that must not be saved); what was there stays, and no part
/// of the new one does. Returns the new folder; its name gets a suffix when another checkpoint of
/// the same step exists.
std::filesystem::path save_checkpoint(const std::filesystem::path& folder,
                                      const Checkpoint& checkpoint, const CheckpointName& name);

/// What was read back beside the parameters and the state's buffers.
struct LoadedCheckpoint {
  Loaded model;
  Metadata scalars;
};

/// Reads a checkpoint folder into parameters and buffers of the same names, types and sizes. Checks
/// structure (exit 4), then values (7), then hashes (4), and that the two files belong together.
/// After a failure parameters and buffers hold a mixture and must not be used.
LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder, Parameters& parameters,
                                 const std::vector<NamedBuffer>& state);

/// Throws Error{io, "disk-full"} unless the folder's file system has 1.2 times `bytes` free.
void demand_space(const std::filesystem::path& folder, std::uint64_t bytes);

}  // namespace fjord
