// fjord-export.
#include "tools/exporting.h"

#include <nlohmann/json.hpp>

#include "engine/model.h"
#include "engine/state_dict.h"
#include "kernels/error.h"
#include "models/config.h"
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
               {.help = "sigmoid or softmax at the end, as QGIS's Deepness expects"});
  options.flag("resolution", &s.resolution,
               {.value = "CM",
                .help = "of the images it was trained on, centimetres a pixel, for QGIS",
                .range = {0, std::numeric_limits<double>::infinity(), true, false}});
  add_request_flags(options, s.request);
  add_common_flags(options, s.common);
  return options;
}

// The image size that the model was trained at, else a usual one.
int tile_size(const ModelRecord& record, const ModelRequest& request) {
  if (request.size && request.size->height > 0) return request.size->height;
  const Framing framing = record.framing.value_or(Framing{});
  return static_cast<int>(framing.crops()     ? framing.crop_height
                          : framing.resizes() ? framing.height
                                              : 512);
}

// What fjord's files say, and the keys that the QGIS plugin Deepness reads.
Metadata onnx_metadata(const ModelRecord& record, const ExportSettings& s) {
  Metadata metadata = to_metadata(record);
  Json names = Json::object();
  int k = 0;
  for (const std::string& name : class_names(record.model.classes))
    names[fmt::format("{}", k++)] = name;
  metadata["model_type"] = Json("Segmentor").dump();
  metadata["class_names"] = names.dump();
  metadata["tiles_size"] = Json(tile_size(record, s.request)).dump();
  metadata["tiles_overlap"] = Json(15).dump();
  metadata["seg_thresh"] = Json(0.5).dump();
  if (s.resolution) metadata["resolution"] = Json(*s.resolution).dump();
  if (record.normalization && record.normalization->kind != "none") {
    metadata["standardization_mean"] = Json(record.normalization->mean).dump();
    metadata["standardization_std"] = Json(record.normalization->std).dump();
  }
  return metadata;
}

void write_folder(const fs::path& folder, const Parameters& parameters, const ModelRecord& record) {
  require_writable(folder);
  save_state_dict(folder / "model.safetensors", parameters, to_metadata(record));
  write_file_atomically(folder / "config.json", smp_config(record.model));
}

std::string write_model(const fs::path& out, const ModelRecord& record, Parameters& parameters,
                        const ExportSettings& s) {
  if (out.extension() == ".onnx") {
    write_onnx(out, record.model, parameters,
               {.probabilities = s.probabilities, .metadata = onnx_metadata(record, s)});
    return "onnx";
  }
  if (s.probabilities || s.resolution)
    throw Error(ExitCode::usage, "export", printable(s.out),
                "--probabilities and --resolution are of ONNX files",
                "leave them out, or name an OUT.onnx");
  if (out.extension() == ".safetensors") {
    save_state_dict(out, parameters, to_metadata(record));
    return "safetensors";
  }
  if (fs::exists(out) && !fs::is_directory(out))
    throw Error(ExitCode::usage, "export", printable(s.out), "it is a file",
                "name an OUT.onnx, an OUT.safetensors or a folder");
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
  Parameters parameters;
  list_parameters(
      parameters,
      [&](Net net, Tensor image) { return build_model(net, image, model.record.model); },
      model.record.model.in_channels);
  parameters.allocate();
  const Loaded loaded = load_state_dict(model.weights, parameters);
  for (const std::string& line : loaded.notes) say(line);
  const std::string kind = write_model(out, model.record, parameters, s);
  print_result(s.common, fmt::format("{}: {} with {}, {}", printable(s.out),
                                     model.record.model.arch, model.record.model.encoder, kind));
  write_json(s.common, {{"kind", kind},
                        {"arch", model.record.model.arch},
                        {"encoder", model.record.model.encoder},
                        {"in_channels", model.record.model.in_channels},
                        {"classes", model.record.model.classes},
                        {"hash", loaded.hash}});
  return 0;
}

}  // namespace fjord
