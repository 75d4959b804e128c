// Filling one's own network from another program's file.
#include "models/import.h"

#include "kernels/error.h"
#include "models/weights.h"

namespace fjord {

std::map<std::string, const TensorEntry*> model_tensors(const TensorFile& file,
                                                        Parameters& parameters,
                                                        std::vector<std::string>& notes) {
  return without_prefixes(
      file,
      [&](const std::string& name) {
        return parameters.find(name) || encoder_parameter(parameters, name);
      },
      notes);
}

Loaded import_model(const TensorFile& file, Parameters& parameters, std::uint64_t seed) {
  std::vector<std::string> notes = file.notes(), fresh;
  auto tensors = model_tensors(file, parameters, notes);
  Mismatch mismatch;
  std::vector<Assignment> assignments;
  const Parameter* first = first_filter(parameters);
  for (Parameter& p : parameters.all()) {
    if (p.training_only) continue;
    const auto found = tensors.find(p.name);
    if (found == tensors.end()) {
      if (p.role == Role::counter)
        parameters.set_count(p, 0);
      else
        mismatch.missing.push_back(p.name);
      continue;
    }
    if (auto assignment = fit_filter(*found->second, p, &p == first, notes))
      assignments.push_back(std::move(*assignment));
    else if (p.name.starts_with("segmentation_head.")) {
      parameters.initialize(p, seed);
      fresh.push_back(p.name);
    } else
      mismatch.add_reshaped(p, *found->second);
    tensors.erase(found);
  }
  if (mismatch.count() > 0) {
    for (const auto& [name, tensor] : tensors) mismatch.extra.push_back(printable(name));
    mismatch.remedy = nearest_network(file, mismatch.count());
    refuse_mismatch(file, mismatch);
  }
  Loaded loaded = assign(file, assignments, parameters);
  notes.insert(notes.end(), loaded.notes.begin(), loaded.notes.end());
  if (!fresh.empty())
    notes.push_back(fmt::format("of other classes, so drawn anew: {}", first_ten(fresh)));
  std::vector<std::string> left;
  for (const auto& [name, tensor] : tensors)
    left.push_back(fmt::format("{} {}", printable(name), shape_text(tensor->shape)));
  if (!left.empty()) notes.push_back(fmt::format("left over: {}", first_ten(left)));
  notes.push_back(fmt::format("{} tensors mapped", assignments.size()));
  loaded.notes = std::move(notes);
  return loaded;
}

}  // namespace fjord
