// Recognising the network that a file's tensors are of.
#include <algorithm>
#include <limits>

#include "engine/model.h"
#include "models/config_names.h"
#include "models/import.h"
#include "models/weights.h"

namespace fjord {

namespace {

bool is_of_model(const std::string& name) {
  return name.find("decoder.") != name.npos || name.find("segmentation_head.") != name.npos;
}

// Size `axis` of the filter whose name ends so; 0 without one.
int dimension(const TensorFile& file, std::string_view filter, std::size_t axis) {
  for (const TensorEntry& entry : file.tensors())
    if (entry.name.ends_with(filter) && entry.shape.size() == 4 && entry.shape[axis] > 0 &&
        entry.shape[axis] < 65537)
      return static_cast<int>(entry.shape[axis]);
  return 0;
}

// The channels that the first convolution of a file in PyTorch's order reads.
int input_channels(const TensorFile& file) {
  std::vector<std::string> ignored;
  constexpr std::string_view firsts[] = {"conv1.weight",      "layer0.conv1.weight",
                                         "conv1.0.weight",    "features.0.0.weight",
                                         "_conv_stem.weight", "conv_stem.weight"};
  const auto known = [&](std::string_view name) {
    for (const std::string_view prefix : {"encoder.", "model."})
      if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    return std::ranges::find(firsts, name) != std::end(firsts);
  };
  for (const auto& [name, tensor] : without_prefixes(file, known, ignored))
    if (known(name) && tensor->shape.size() == 4) return static_cast<int>(tensor->shape[1]);
  return 0;
}

// Tensors of the network that the file lacks or has in another shape, and those that it has
// besides.
std::size_t differences(const TensorFile& file, const ModelOptions& options, WeightsKind kind) {
  Parameters parameters;
  list_parameters(
      parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
      options.in_channels);
  std::vector<std::string> ignored;
  const auto tensors = model_tensors(file, parameters, ignored);
  std::map<const Parameter*, const TensorEntry*> fitting;
  for (const auto& [name, tensor] : tensors) {
    const Parameter* named = parameters.find(name);
    if (const Parameter* p = named ? named : encoder_parameter(parameters, name))
      fitting[p] = tensor;
  }
  std::size_t count = 0, used = 0;
  for (const Parameter& p : parameters.all()) {
    const bool encoder = p.name.starts_with("encoder.");
    if (kind == WeightsKind::encoder && !encoder) continue;
    const auto found = fitting.find(&p);
    used += found != fitting.end();
    if (p.role == Role::counter) continue;
    count += found == fitting.end() || found->second->shape != p.file_shape();
  }
  const auto dropped = [&](const auto& row) {
    return kind == WeightsKind::encoder && is_classifier(row.first);
  };
  return count + (tensors.size() - used) -
         static_cast<std::size_t>(std::ranges::count_if(tensors, dropped));
}

bool has(const TensorFile& file, std::string_view part) {
  return std::ranges::any_of(file.tensors(), [&](const TensorEntry& tensor) {
    return tensor.name.find(part) != part.npos;
  });
}

// As many levels as the decoder has blocks, and the channels of each, where it has them of its own.
void read_levels(const TensorFile& file, ModelOptions& options) {
  const std::string blocks =
      options.arch == "unetplusplus" ? "decoder.blocks.x_0_" : "decoder.blocks.";
  std::vector<int> channels;
  int depth = 0;
  for (; has(file, fmt::format("{}{}.", blocks, depth)); ++depth)
    for (const char* conv : {"conv1", "conv2"})
      if (const int width =
              dimension(file, fmt::format("{}{}.{}.0.weight", blocks, depth, conv), 0)) {
        channels.push_back(width);
        break;
      }
  if (depth < 3 || depth > 5) return;
  options.encoder_depth = depth;
  options.decoder_channels =
      static_cast<int>(channels.size()) == depth ? channels : default_channels(depth);
}

// What a decoder's names say about it. How it resizes leaves no trace.
void read_decoder(const TensorFile& file, ModelOptions& options, Given given) {
  if (!given.arch) {
    if (has(file, "decoder.blocks.x_0_0.")) options.arch = "unetplusplus";
    if (has(file, "decoder.blocks.0.block.")) options.arch = "linknet";
    if (has(file, "decoder.blocks.0.hl_conv.")) options.arch = "manet";
  }
  read_levels(file, options);
  if (const int width = dimension(file, "decoder.center.top_conv.weight", 0);
      width > 0 && options.arch == "manet")
    options.pab_channels = width;
  if (has_attention(options.arch) && has(file, "decoder.blocks.")) {
    const bool wide = std::ranges::all_of(options.decoder_channels, [](int c) { return c >= 16; });
    options.attention =
        wide && has(file, ".attention1.attention.") ? Attention::scse : Attention::none;
  }
  for (const TensorEntry& tensor : file.tensors())
    if (tensor.name.ends_with("classification_head.3.bias") && tensor.shape.size() == 1 &&
        tensor.shape[0] > 0 && tensor.shape[0] < 65537)
      options.classification = {.classes = static_cast<int>(tensor.shape[0])};
  for (const std::string unit :
       {"decoder.blocks.0.conv1.", "decoder.blocks.x_0_0.conv1.", "decoder.blocks.0.block.0."}) {
    if (has(file, unit + "0.bias")) options.decoder_norm = DecoderNorm::identity;
    if (has(file, unit + "1.weight"))
      options.decoder_norm =
          has(file, unit + "1.running_mean") ? DecoderNorm::batchnorm : DecoderNorm::instance;
  }
}

struct Fit {
  ModelOptions options;
  std::size_t differences = std::numeric_limits<std::size_t>::max();
};

Fit best_fit(const TensorFile& file, ModelOptions options) {
  const WeightsKind kind = kind_of(file);
  Fit best;
  for (const std::string_view encoder : encoder_names()) {
    options.encoder = encoder;
    const std::size_t count = differences(file, options, kind);
    if (count < best.differences) best = {options, count};
  }
  return best;
}

// What a user gives to get that network, as far as it is not SMP's default.
std::string flags_of(const ModelOptions& o) {
  std::string flags = fmt::format("--arch {} --encoder {} --in-channels {} --classes {}", o.arch,
                                  o.encoder, o.in_channels, o.classes);
  if (o.encoder_depth != 5) flags += fmt::format(" --encoder-depth {}", o.encoder_depth);
  if (o.decoder_channels != default_channels(o.encoder_depth))
    flags += fmt::format(" --decoder-channels {}", fmt::join(o.decoder_channels, ","));
  if (o.attention == Attention::scse) flags += " --decoder-attention scse";
  if (o.decoder_norm != DecoderNorm::batchnorm)
    flags += fmt::format(" --decoder-norm {}", name_of(o.decoder_norm, kNorms));
  if (o.pab_channels != ModelOptions{}.pab_channels)
    flags += fmt::format(" --pab-channels {}", o.pab_channels);
  return flags;
}

// What the tensors say where flags do not.
ModelOptions read_options(const TensorFile& file, ModelOptions asked, Given given) {
  const int classes = dimension(file, "segmentation_head.0.weight", 0);
  const int channels = input_channels(file);
  if (asked.classes == 0) asked.classes = classes > 0 && classes < 255 ? classes : 1;
  if (asked.in_channels == 0) asked.in_channels = channels > 0 && channels < 513 ? channels : 3;
  read_decoder(file, asked, given);
  return asked;
}

}  // namespace

WeightsKind kind_of(const TensorFile& file) {
  return std::ranges::any_of(file.tensors(),
                             [](const TensorEntry& tensor) { return is_of_model(tensor.name); })
             ? WeightsKind::model
             : WeightsKind::encoder;
}

ModelOptions recognise(const TensorFile& file, ModelOptions asked, Given given) {
  const ModelOptions options = read_options(file, std::move(asked), given);
  return given.encoder ? options : best_fit(file, options).options;
}

std::string nearest_network(const TensorFile& file, std::size_t differences) {
  const Fit fit = best_fit(file, read_options(file, {.in_channels = 0, .classes = 0}, {}));
  if (2 * fit.differences > file.tensors().size())
    return "none of fjord's networks is near it; docs/encoders.md lists them";
  if (fit.differences >= differences)
    return "no other network of fjord's is nearer to it: use a whole file, or another one";
  if (kind_of(file) == WeightsKind::encoder)
    return fmt::format("it is an encoder's, the nearest is --encoder {} --in-channels {}",
                       fit.options.encoder, fit.options.in_channels);
  return fmt::format("the nearest network is {} ({})", flags_of(fit.options),
                     fit.differences == 0   ? "all of its tensors fit"
                     : fit.differences == 1 ? "1 tensor differs"
                                            : fmt::format("{} tensors differ", fit.differences));
}

}  // namespace fjord
