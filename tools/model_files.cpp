// Finding a model on disk.
#include "tools/model_files.h"

#include "engine/torch_file.h"
#include "models/config.h"
#include "models/config_names.h"
#include "models/import.h"
#include "tools/log.h"
#include "tools/run_folder.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

std::string name_of(const fs::path& path) { return printable(path.string()); }

fs::path weights_of(const ModelRequest& request) {
  const fs::path path = request.path;
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    throw Error(ExitCode::usage, "no-model", name_of(path), "there is no such file or folder",
                "name a run folder, a checkpoint folder or a .safetensors file");
  const fs::path weights = weights_file(path, request.which);
  if (fs::exists(weights, ignored)) return weights;
  throw Error(ExitCode::usage, "no-model", name_of(path),
              fmt::format("holds neither model.safetensors nor checkpoints/{}", request.which),
              has_checkpoint(path) ? "use --which last" : "name the folder of a trained run");
}

}  // namespace

fs::path weights_file(const fs::path& path, const std::string& which) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const fs::path& name : {fs::path("model.safetensors"), fs::path("pytorch_model.bin"),
                               fs::path("checkpoints") / which / "model.safetensors"})
    if (fs::exists(path / name, ignored)) return path / name;
  return path / "model.safetensors";
}

std::optional<ModelOptions> options_said(const fs::path& path, const TensorFile& file) {
  if (auto said = model_options(file.name(), file.metadata())) return said;
  const fs::path config = path / "config.json";
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || !fs::exists(config, ignored)) return {};
  if (kind_of(file) == WeightsKind::encoder) {
    say("{}: left out, the weights are an encoder's", name_of(config));
    return {};
  }
  ModelConfig read = read_smp_config(config);
  for (const std::string& note : read.notes) say(note);
  return std::move(read.options);
}

void refuse_contradictions(const Options& options, const ModelFlags& flags,
                           const ModelOptions& model, const std::string& name) {
  auto same = [&](const std::string& flag, const std::string& asked, const std::string& is) {
    if (options.set(flag) && asked != is)
      throw Error(ExitCode::usage, "model-conflict", fmt::format("--{} {}", flag, asked),
                  fmt::format("{} says {}", name, is), "leave it out");
  };
  auto text = [](int number) { return fmt::format("{}", number); };
  auto list = [](const std::vector<int>& numbers) {
    return fmt::format("{}", fmt::join(numbers, ","));
  };
  same("arch", flags.arch, model.arch);
  same("encoder", flags.encoder, model.encoder);
  same("in-channels", text(flags.in_channels.value_or(0)), text(model.in_channels));
  same("classes", text(flags.classes.value_or(0)), text(model.classes));
  same("encoder-depth", text(flags.encoder_depth), text(model.encoder_depth));
  same("decoder-attention", flags.decoder_attention.value_or(""),
       model.attention == Attention::scse ? "scse" : "none");
  same("decoder-channels", list(flags.decoder_channels), list(model.decoder_channels));
  same("decoder-interpolation", flags.decoder_interpolation,
       std::string(name_of(model.interpolation, kInterpolations)));
  same("decoder-norm", flags.decoder_norm, std::string(name_of(model.decoder_norm, kNorms)));
  same("pab-channels", text(flags.pab_channels), text(model.pab_channels));
}

void refuse_torch_file(const FileBytes& bytes) {
  if (is_torch_file(bytes))
    throw Error(ExitCode::model_file, "torch-file", bytes.name, "it is a file of torch.save",
                fmt::format("fjord-import {} model.safetensors, and name that", bytes.name));
}

ModelOptions options_recognised(const TensorFile& file, const ModelFlags& flags,
                                const Options* options) {
  const auto set = [&](const char* flag) { return options && options->set(flag); };
  ModelOptions asked = model_options_of(flags, 1);
  asked.in_channels = flags.in_channels.value_or(0);
  asked.classes = flags.classes.value_or(0);
  const ModelOptions found =
      recognise(file, asked, {.arch = set("arch"), .encoder = set("encoder")});
  if (kind_of(file) == WeightsKind::encoder) return found;
  if (options) refuse_contradictions(*options, flags, found, file.name());
  if (found.arch != "linknet" && !set("decoder-interpolation"))
    say("{}: does not say how its decoder enlarges, so nearest; else say --decoder-interpolation",
        file.name());
  return found;
}

ModelFile find_model(const ModelRequest& request) {
  ModelFile found{weights_of(request), {}};
  FileBytes bytes = open_bytes(found.weights);
  refuse_torch_file(bytes);
  const bool folder = fs::is_directory(request.path);
  const SafetensorsFile file(std::move(bytes));
  if (model_options(file.name(), file.header().metadata)) {
    read_metadata(found.record, file.name(), file.header().metadata);
  } else if (const auto said =
                 options_said(folder ? found.weights.parent_path() : found.weights, file)) {
    found.record.model = *said;
  } else {
    const ModelOptions& model = found.record.model =
        options_recognised(file, request.flags, request.options);
    say("{}: taken for {} with {}, {} channels, {} classes", file.name(), model.arch, model.encoder,
        model.in_channels, model.classes);
    return found;
  }
  if (request.options)
    refuse_contradictions(*request.options, request.flags, found.record.model, file.name());
  return found;
}

}  // namespace fjord
