// Parameters to and from files: SMP's state_dict keys, PyTorch's shapes and layout.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/parameters.h"
#include "engine/safetensors.h"

namespace fjord {

/// What a load did. `notes` are lines for the user: what was converted, renamed or left out.
struct Loaded {
  Metadata metadata;
  std::string hash;  // of the file's tensors; equal weights, statistics and counters, equal hash
  std::vector<std::string> notes;
};

/// What to do about a file that is of another network, by so many differences.
using Remedy = std::function<std::string(const TensorFile&, std::size_t differences)>;

/// Fills the (allocated) parameters but those of training alone from a file that has exactly their
/// tensors; missing num_batches_tracked become 0. Checks structure (exit 4), then values (7), then
/// the hash (4); after a failure the parameters hold a mixture and must not be used.
Loaded load_state_dict(const std::filesystem::path& path, Parameters& parameters,
                       const Remedy& remedy = {});

/// Writes all parameters but those of training alone, atomically. Throws Error{numeric} rather than
/// save values that a load refuses. Returns the hash.
std::string save_state_dict(const std::filesystem::path& path, const Parameters& parameters,
                            const Metadata& metadata);

/// The hash that save_state_dict would give. Throws Error{numeric} likewise.
std::string state_hash(const Parameters& parameters);

/// The parameters as tensors to write, for a writer of more than a state_dict. `file` is named in
/// the Error{numeric} of a value that must not be saved.
std::vector<TensorSource> tensor_sources(const Parameters& parameters, const std::string& file);

/// A tensor of a file and the parameter it fills; `adapt` (may be empty) makes the parameter's
/// values, in PyTorch's order, from the file's.
struct Assignment {
  const TensorEntry* tensor = nullptr;
  Parameter* parameter = nullptr;
  std::function<std::vector<float>(const std::vector<float>&)> adapt;
};

/// Reads the assigned tensors; checks types, values and the hash of the whole file.
Loaded assign(const TensorFile& file, const std::vector<Assignment>& assignments,
              Parameters& parameters);

/// Reads everything and checks the file's hash; returns that of its tensors.
std::string verified_hash(const TensorFile& file);

/// The file's tensors under the names of `known`: the prefixes that wrappers add (module., model.,
/// _orig_mod., state_dict., net.) are taken off, each at most once, and noted.
std::map<std::string, const TensorEntry*> without_prefixes(
    const TensorFile& file, const std::function<bool(const std::string&)>& known,
    std::vector<std::string>& notes);

/// "a, b, c ... and 12 more".
std::string first_ten(const std::vector<std::string>& names);

/// What does not fit, each list cut after ten names. Throws Error{model_file, "state-dict"} unless
/// all three are empty.
struct Mismatch {
  std::string_view of = "this model";
  std::string remedy =
      "give the --arch, --encoder, --in-channels and --classes that it was made with";
  std::vector<std::string> missing = {}, extra = {}, reshaped = {};

  void add_reshaped(const Parameter& parameter, const TensorEntry& tensor);
  std::size_t count() const { return missing.size() + extra.size() + reshaped.size(); }
};
void refuse_mismatch(const TensorFile& file, const Mismatch& mismatch);

}  // namespace fjord
