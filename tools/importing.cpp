// fjord-import.
#include "tools/importing.h"

#include <nlohmann/json.hpp>

#include "engine/model.h"
#include "kernels/error.h"
#include "models/import.h"
#include "models/weights.h"
#include "tools/log.h"
#include "tools/model_files.h"
#include "tools/model_flags.h"
#include "tools/model_record.h"
#include "tools/program.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;

struct ImportSettings {
  CommonFlags common;
  ModelFlags model;
  std::string in, out;
};

Options options_of(ImportSettings& s) {
  Options options({.name = "fjord-import",
                   .usage = "IN OUT.safetensors [flags]",
                   .purpose = "weights of PyTorch files (SMP, torchvision, timm) for fjord",
                   .examples = "  fjord-import unet.pth unet.safetensors\n"
                               "  fjord-import smp_folder unet.safetensors\n"
                               "  fjord-import resnet34-b627a593.pth encoder.safetensors "
                               "--in-channels 4\n"});
  options.group("arguments");
  options.positional(
      "IN", &s.in,
      {.value = "FILE", .help = ".pth, .pt, .safetensors, or a save_pretrained folder"});
  options.positional("OUT", &s.out, {.value = "FILE", .help = "the .safetensors to write"});
  add_model_flags(options, s.model);
  add_common_flags(options, s.common);
  return options;
}

// What the file says it is; else what flags say, and of the rest what its tensors look like.
ModelOptions network_of(const ImportSettings& s, const Options& options, const fs::path& in,
                        const TensorFile& file) {
  if (std::optional<ModelOptions> said = options_said(in, file)) {
    if (s.model.classes) said->classes = *s.model.classes;
    if (s.model.in_channels) said->in_channels = *s.model.in_channels;
    refuse_contradictions(options, s.model, *said, file.name());
    return *said;
  }
  return options_recognised(file, s.model, &options);
}

std::string save_encoder(const fs::path& out, const Parameters& parameters,
                         const ModelOptions& options) {
  std::vector<TensorSource> sources = tensor_sources(parameters, printable(out.native()));
  std::erase_if(sources,
                [](const TensorSource& source) { return !source.name.starts_with("encoder."); });
  return save_safetensors(out, std::move(sources),
                          {.metadata = {{"format", "pt"}, {"fjord.encoder", options.encoder}}});
}

}  // namespace

int import_weights(int argc, char** argv) {
  ImportSettings s;
  Options options = options_of(s);
  if (!options.parse(argc, argv)) return 0;
  apply_common_flags(s.common);
  const fs::path in = s.in, out = s.out;
  const auto file = open_tensors(weights_file(in));
  std::error_code ignored;
  if (fs::equivalent(weights_file(in), out, ignored))
    throw Error(ExitCode::usage, "same-file", printable(s.out), "it is the file to be read",
                "name another file");

  const WeightsKind kind = kind_of(*file);
  const ModelOptions network = network_of(s, options, in, *file);
  Parameters parameters;
  list_parameters(
      parameters, [&](Net net, Tensor image) { return build_model(net, image, network); },
      network.in_channels);
  parameters.allocate();
  const bool whole = kind == WeightsKind::model;
  say("{}: taken for {} {}, {} channels{}", file->name(),
      whole ? network.arch + " with" : "encoder", network.encoder, network.in_channels,
      whole ? fmt::format(", {} classes", network.classes) : "");
  const Loaded loaded = whole ? import_model(*file, parameters, s.common.seed)
                              : load_encoder_weights(*file, parameters);
  for (const std::string& line : loaded.notes) say(line);
  ModelRecord record;
  record.model = network;
  const std::string hash = whole ? save_state_dict(out, parameters, to_metadata(record))
                                 : save_encoder(out, parameters, network);
  print_result(s.common, fmt::format("{}: {}", printable(s.out), hash));
  write_json(s.common, {{"kind", whole ? "model" : "encoder"},
                        {"arch", whole ? nlohmann::ordered_json(network.arch) : nullptr},
                        {"encoder", network.encoder},
                        {"in_channels", network.in_channels},
                        {"classes", whole ? nlohmann::ordered_json(network.classes) : nullptr},
                        {"notes", loaded.notes},
                        {"hash", hash}});
  return 0;
}

}  // namespace fjord
