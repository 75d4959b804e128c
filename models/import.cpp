// Recognising a file's network, and filling one's own from it.
#include "models/import.h"

#include <algorithm>
#include <limits>

#include "engine/model.h"
#include "kernels/error.h"
#include "models/weights.h"

namespace fjord {

namespace {

constexpr std::string_view kHead = "segmentation_head.";

bool is_of_model(const std::string& name) {
  return name.find("decoder.") != name.npos || name.find("segmentation_head.") != name.npos;
}

std::int64_t dimension(const TensorFile& file, std::string_view tensor, std::size_t axis) {
  for (const TensorEntry& entry : file.tensors())
    if (entry.name.ends_with(tensor) && entry.shape.size() == 4) return entry.shape[axis];
  return 0;
}

// The channels that the first convolution of a file in PyTorch's order reads.
std::int64_t input_channels(const TensorFile& file) {
  for (const char* first : {"conv1.weight", "layer0.conv1.weight", "features.0.0.weight",
                            "_conv_stem.weight", "conv_stem.weight", "conv1.0.weight"})
    for (const TensorEntry& entry : file.tensors()) {
      std::string_view name = entry.name;
      for (const std::string_view prefix : {"module.", "model.", "encoder.", "model."})
        if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
      if (name == first && entry.shape.size() == 4) return entry.shape[1];
    }
  return 0;
}

std::map<std::string, const TensorEntry*> tensors_for(const TensorFile& file,
                                                      Parameters& parameters,
                                                      std::vector<std::string>& notes) {
  return without_prefixes(
      file,
      [&](const std::string& name) {
        return parameters.find(name) || encoder_parameter(parameters, name);
      },
      notes);
}

// Tensors of the network that the file lacks or has in another shape, head and input aside.
std::size_t differences(const TensorFile& file, const ModelOptions& options, WeightsKind kind) {
  Parameters parameters;
  list_parameters(
      parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
      options.in_channels);
  std::vector<std::string> ignored;
  const auto tensors = tensors_for(file, parameters, ignored);
  std::map<const Parameter*, const TensorEntry*> fitting;
  for (const auto& [name, tensor] : tensors) {
    const Parameter* named = parameters.find(name);
    if (const Parameter* p = named ? named : encoder_parameter(parameters, name))
      fitting[p] = tensor;
  }
  std::size_t count = 0, used = 0;
  for (const Parameter& p : parameters.all()) {
    const bool encoder = p.name.starts_with("encoder.");
    if (p.role == Role::counter || (kind == WeightsKind::encoder && !encoder)) continue;
    const auto found = fitting.find(&p);
    used += found != fitting.end();
    count += found == fitting.end() || found->second->shape != p.file_shape();
  }
  return count + (tensors.size() - used);
}

bool has(const TensorFile& file, std::string_view part) {
  return std::ranges::any_of(file.tensors(), [&](const TensorEntry& tensor) {
    return tensor.name.find(part) != part.npos;
  });
}

// What a decoder's names say about it. How it resizes leaves no trace.
void read_decoder(const TensorFile& file, ModelOptions& options, GivenNames given) {
  if (!given.arch) {
    if (has(file, "decoder.blocks.x_0_0.")) options.arch = "unetplusplus";
    if (has(file, "decoder.blocks.0.block.")) options.arch = "linknet";
    if (has(file, "decoder.blocks.0.hl_conv.")) options.arch = "manet";
  }
  if (const auto width = dimension(file, "decoder.center.top_conv.weight", 0);
      width > 0 && width < 65537)
    options.pab_channels = static_cast<int>(width);
  if (has_attention(options.arch) && has(file, ".attention1.attention."))
    options.attention = Attention::scse;
  for (const TensorEntry& tensor : file.tensors())
    if (tensor.name.ends_with("classification_head.3.bias") && tensor.shape.size() == 1 &&
        tensor.shape[0] > 0 && tensor.shape[0] < 65537)
      options.classification = {.classes = static_cast<int>(tensor.shape[0])};
  for (const std::string unit :
       {"decoder.blocks.0.conv1.", "decoder.blocks.x_0_0.conv1.", "decoder.blocks.0.block.0."}) {
    if (has(file, unit + "0.bias")) options.decoder_norm = DecoderNorm::identity;
    if (has(file, unit + "1.weight") && !has(file, unit + "1.running_mean"))
      options.decoder_norm = DecoderNorm::instance;
  }
}

}  // namespace

WeightsKind kind_of(const TensorFile& file) {
  return std::ranges::any_of(file.tensors(),
                             [](const TensorEntry& tensor) { return is_of_model(tensor.name); })
             ? WeightsKind::model
             : WeightsKind::encoder;
}

ModelOptions recognise(const TensorFile& file, ModelOptions asked, GivenNames given) {
  const auto classes = dimension(file, "segmentation_head.0.weight", 0);
  const auto channels = input_channels(file);
  if (asked.classes == 0) asked.classes = classes > 0 && classes < 255 ? int(classes) : 1;
  if (asked.in_channels == 0)
    asked.in_channels = channels > 0 && channels < 513 ? int(channels) : 3;
  read_decoder(file, asked, given);
  if (given.encoder) return asked;
  ModelOptions best = asked;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const std::string_view encoder : encoder_names()) {
    ModelOptions options = asked;
    options.encoder = encoder;
    const std::size_t count = differences(file, options, kind_of(file));
    if (count < fewest) fewest = count, best = options;
  }
  return best;
}

Loaded import_model(const TensorFile& file, Parameters& parameters, std::uint64_t seed) {
  std::vector<std::string> notes = file.notes(), fresh;
  auto tensors = tensors_for(file, parameters, notes);
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
    else if (p.name.starts_with(kHead)) {
      parameters.initialize(p, seed);
      fresh.push_back(p.name);
    } else
      mismatch.add_reshaped(p, *found->second);
    tensors.erase(found);
  }
  refuse_mismatch(file, mismatch);
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
