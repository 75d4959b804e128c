// fjord-export.
#include "tools/exporting.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/model.h"
#include "engine/state_dict.h"
#include "kernels/error.h"
#include "models/config.h"
#include "models/config_names.h"
#include "models/import.h"
#include "tools/files.h"
#include "tools/log.h"
#include "tools/model_files.h"
#include "tools/onnx.h"
#include "tools/program.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct ExportSettings {
  CommonFlags common;
  ModelRequest request;
  std::string out;
  bool probabilities = false;
  std::optional<double> resolution;
  std::optional<std::string> class_names;
};

Options options_of(ExportSettings& s) {
  Options options({.name = "fjord-export",
                   .usage = "MODEL OUT.onnx|OUT.safetensors|OUT_FOLDER [flags]",
                   .purpose = "a model for ONNX Runtime, QGIS and segmentation_models.pytorch",
                   .examples = "  fjord-export runs/buildings-unet-resnet34-001 buildings.onnx\n"
                               "  fjord-export model.safetensors qgis.onnx --probabilities\n"
                               "  fjord-export model.safetensors smp_folder\n"});
  options.group("arguments");
  options.positional("MODEL", &s.request.path,
                     {.value = "PATH", .help = "run folder, model folder or .safetensors"});
  options.positional("OUT", &s.out,
                     {.value = "PATH", .help = "a folder is for smp.from_pretrained"});
  options.group("ONNX");
  options.flag("probabilities", &s.probabilities,
               {.help = "sigmoid or softmax at the end, alone, as QGIS's Deepness expects"});
  options.flag("resolution", &s.resolution,
               {.value = "CM",
                .help = "of the images it was trained on, centimetres a pixel, for QGIS",
                .range = {0, std::numeric_limits<double>::infinity(), true, false}});
  options.flag("class-names", &s.class_names,
               {.value = "A,B", .help = "instead of numbers, for QGIS; also the background's"});
  add_request_flags(options, s.request);
  add_common_flags(options, s.common);
  return options;
}

// What the file says, and what flags say instead.
ModelRecord record_of(const ModelFile& model, const ModelRequest& request) {
  ModelRecord record = model.record;
  if (request.normalize || request.range)
    record.normalization = normalization_of(model.record, request, DType::u8);
  if (request.size) record.framing = framing_of(model.record, request);
  return record;
}

// The image size that the model was trained at, else a usual one.
int tile_size(const ModelRecord& record) {
  const Framing framing = record.framing.value_or(Framing{});
  return static_cast<int>(framing.crops()     ? framing.crop_height
                          : framing.resizes() ? framing.height
                                              : 512);
}

// Deepness divides pixels by 255 before it standardises them, whatever they mean.
void add_standardization(Metadata& metadata, const Normalization& normalization) {
  std::vector<double> mean = normalization.mean, std = normalization.std;
  const double ones = normalization.range / 255;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const bool none = normalization.kind == "none";
    mean[i] = none ? 0 : mean[i] * ones;
    std[i] = none ? 1.0 / 255 : std[i] * ones;
  }
  metadata["standardization_mean"] = Json(mean).dump();
  metadata["standardization_std"] = Json(std).dump();
}

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(' ');
  if (begin == text.npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(' ') + 1 - begin));
}

// --class-names, else those that fjord gives.
std::vector<std::string> names_of_classes(int classes, const ExportSettings& s) {
  if (!s.class_names) return class_names(classes);
  std::vector<std::string> names;
  for (std::string_view rest = *s.class_names;; rest.remove_prefix(rest.find(',') + 1)) {
    names.push_back(trimmed(rest.substr(0, rest.find(','))));
    if (rest.find(',') == rest.npos) break;
  }
  auto refuse = [&](std::string_view why) {
    throw Error(ExitCode::usage, "class-names", "--class-names " + printable(*s.class_names), why,
                "name every class once, in order, with commas between");
  };
  const auto expected = static_cast<std::size_t>(label_classes(classes));
  if (names.size() != expected)
    refuse(fmt::format("{} names for {} classes{}", names.size(), expected,
                       classes == 1 ? " (background and foreground)" : ""));
  for (auto name = names.begin(); name != names.end(); ++name)
    if (name->empty() || std::find(names.begin(), name, *name) != name)
      refuse(name->empty() ? "a name is empty" : "a name is given twice");
  return names;
}

// What fjord's files say, and the keys that the QGIS plugin Deepness reads.
Metadata onnx_metadata(const ModelRecord& record, const ExportSettings& s) {
  Metadata metadata = to_metadata(record);
  Json names = Json::object();
  int k = 0;
  for (const std::string& name : names_of_classes(record.model.classes, s))
    names[fmt::format("{}", k++)] = name;
  metadata["model_type"] = Json("Segmentor").dump();
  metadata["class_names"] =
      names.dump(-1, ' ', false, Json::error_handler_t::replace);  // of bytes that are no UTF-8
  metadata["tiles_size"] = Json(tile_size(record)).dump();
  metadata["tiles_overlap"] = Json(15).dump();
  metadata["seg_thresh"] = Json(0.5).dump();
  if (s.resolution) metadata["resolution"] = Json(*s.resolution).dump();
  if (record.normalization) add_standardization(metadata, *record.normalization);
  return metadata;
}

// An exported model in a run folder would be taken for the run's; another's config.json be lost.
void demand_own_folder(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code ignored;  // of a folder that cannot be read, writing says why
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    names.insert(entry.path().filename().string());
  names.erase("README.md");
  if (names.empty() || names == std::set<std::string>{"config.json", "model.safetensors"}) return;
  throw Error(ExitCode::usage, "not-empty", printable(folder.string()),
              names.contains("checkpoints")
                  ? "it is a run folder"
                  : "it holds other files than an exported model's config.json and "
                    "model.safetensors",
              "name a new folder");
}

void demand_known_form(const fs::path& out, const ExportSettings& s) {
  constexpr std::string_view kForms = "name an OUT.onnx, an OUT.safetensors or a folder";
  const std::string form = out.extension().string(), name = printable(s.out);
  std::error_code ignored;
  if (form != ".onnx" && (s.probabilities || s.resolution || s.class_names))
    throw Error(ExitCode::usage, "export", name,
                "--probabilities, --resolution and --class-names are of ONNX files",
                "leave them out, or name an OUT.onnx");
  if (out.filename() == "model.safetensors" &&
      fs::exists(out.parent_path() / "checkpoints", ignored))
    throw Error(ExitCode::usage, "export", name, "in a run folder it would stand for the run's own",
                "name another file or folder");
  if (form == ".onnx" || form == ".safetensors") return;
  if (fs::is_directory(out, ignored)) return demand_own_folder(out);
  if (fs::exists(out, ignored))
    throw Error(ExitCode::usage, "export", name, "it is a file", kForms);
  if (!form.empty())
    throw Error(ExitCode::usage, "export", name,
                fmt::format("'{}' is neither .onnx nor .safetensors, in small letters, nor does a "
                            "new folder's name have a dot",
                            printable(form)),
                kForms);
}

void write_folder(const fs::path& folder, const Parameters& parameters, const ModelRecord& record) {
  require_writable(folder);
  save_state_dict(folder / "model.safetensors", parameters, to_metadata(record));
  write_file_atomically(folder / "config.json", smp_config(record.model));
}

bool gives_probabilities(FinalActivation activation) {
  return activation == FinalActivation::sigmoid || activation == FinalActivation::softmax ||
         activation == FinalActivation::softmax2d;
}

// With --probabilities they are the only output, as Deepness demands, and made where the model's
// own activation gives other values.
ModelOptions onnx_model(ModelOptions model, const ExportSettings& s) {
  const std::string name = printable(s.out);
  const std::string own(name_of(model.activation, kFinalActivations));
  if (s.probabilities && !gives_probabilities(model.activation)) {
    if (model.activation != FinalActivation::none)
      say("{}: probabilities instead of the model's {}", name, own);
    model.activation = model.classes == 1 ? FinalActivation::sigmoid : FinalActivation::softmax;
  } else if (model.activation != FinalActivation::none) {
    say("{}: ends with {}, the model's activation", name, own);
  }
  if (model.classification && s.probabilities) {
    say("{}: scores of the classification head left out, --probabilities is one output", name);
    model.classification.reset();
  } else if (model.classification) {
    say("{}: a second output, scores, of the classification head", name);
  }
  return model;
}

std::string write_model(const fs::path& out, const ModelRecord& record, Parameters& parameters,
                        const ExportSettings& s) {
  if (out.extension() == ".onnx") {
    const Metadata metadata = onnx_metadata(record, s);
    write_onnx(out, onnx_model(record.model, s), parameters, metadata);
    return "onnx";
  }
  if (out.extension() == ".safetensors") {
    save_state_dict(out, parameters, to_metadata(record));
    return "safetensors";
  }
  write_folder(out, parameters, record);
  return "folder";
}

}  // namespace

int export_model(int argc, char** argv) {
  ExportSettings s;
  Options options = options_of(s);
  if (!options.parse(argc, argv)) return 0;
  apply_common_flags(s.common);
  const ModelFile model = find_model(s.request);
  const fs::path out = s.out;
  std::error_code ignored;
  for (const fs::path& written : {out, out / "model.safetensors"})
    if (fs::equivalent(model.weights, written, ignored))
      throw Error(ExitCode::usage, "same-file", printable(s.out), "it is the model to be read",
                  "name another file or folder");
  demand_known_form(out, s);
  const ModelRecord record = record_of(model, s.request);
  Parameters parameters;
  list_parameters(
      parameters, [&](Net net, Tensor image) { return build_model(net, image, record.model); },
      record.model.in_channels);
  parameters.allocate();
  const Loaded loaded = load_state_dict(model.weights, parameters, nearest_network);
  for (const std::string& line : loaded.notes) say(line);
  const std::string kind = write_model(out, record, parameters, s);
  print_result(s.common, fmt::format("{}: {} with {}, {}", printable(s.out), record.model.arch,
                                     record.model.encoder, kind));
  write_json(s.common, {{"kind", kind},
                        {"arch", record.model.arch},
                        {"encoder", record.model.encoder},
                        {"in_channels", record.model.in_channels},
                        {"classes", record.model.classes},
                        {"hash", loaded.hash}});
  return 0;
}

}  // namespace fjord
