// fjord-inspect.
#include "tools/inspection.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/geotiff.h"
#include "data/image.h"
#include "engine/state_dict.h"
#include "kernels/threads.h"
#include "tools/compute.h"
#include "tools/csv.h"
#include "tools/dataset_programs.h"
#include "tools/files.h"
#include "tools/model_files.h"
#include "tools/model_flags.h"
#include "tools/recorded.h"
#include "tools/run_folder.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

const ProgramText kText{"fjord-inspect", "THING [flags]   (an image, data set, model or run)",
                        "says what a file or folder is, or what a network would need",
                        "  fjord-inspect runs/buildings-unet-resnet34-001\n"
                        "  fjord-inspect model.safetensors\n"
                        "  fjord-inspect --encoder resnet34 --size 512 --batch 8 --train\n"};

struct InspectSettings {
  CommonFlags common;
  ModelFlags model;
  ComputeFlags compute;
  std::string thing, labels;
  ImageSize size{512, 512};
  int batch = 8;
  bool train = false, infer = false;
};

void add_flags(Options& options, InspectSettings& s) {
  options.positional("thing", &s.thing, {.saved = false});
  options.group("plan of a network");
  options.flag("train", &s.train, {.help = "of a training step"});
  options.flag("infer", &s.infer, {.help = "of a forward pass"});
  options.flag("size", &s.size, {.value = "N|HxW", .help = "of an image (512)"});
  options.flag("batch", &s.batch, {.value = "N", .help = "images a step (8)", .range = {1, 65536}});
  add_model_flags(options, s.model);
  options.group("data sets");
  options.flag("labels", &s.labels, {.value = "MAP", .help = "\"1:0,2:1,255:ignore\""});
  add_compute_flags(options, s.compute);
  add_common_flags(options, s.common);
  options.conflict("train", "infer", "a plan is of one of them");
}

std::string type_name(DType type) {
  return type == DType::u8 ? "8-bit" : type == DType::u16 ? "16-bit" : "32-bit float";
}

int inspect_image(const InspectSettings& s) {
  const Image image = read_image(s.thing, {.keep_alpha = true});
  std::string text = fmt::format("{} image, {}x{} pixels, {} bands, {}\n", to_string(image.format),
                                 image.width, image.height, image.bands, type_name(image.dtype));
  nlohmann::ordered_json json = {{"kind", "image"},
                                 {"width", image.width},
                                 {"height", image.height},
                                 {"bands", image.bands},
                                 {"type", type_name(image.dtype)}};
  json["statistics"] = nlohmann::ordered_json::array();
  for (int band = 0; band < image.bands; ++band) {
    double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
    for (int y = 0; y < image.height; ++y)
      for (int x = 0; x < image.width; ++x) {
        const double value = image.value(y, x, band);
        sum += value, squares += value * value;
        low = std::min(low, value), high = std::max(high, value);
      }
    const double pixels = double(image.height) * image.width, mean = sum / pixels;
    const double deviation = std::sqrt(std::max(0.0, squares / pixels - mean * mean));
    text += fmt::format("band {}: mean {:.4g}, std {:.4g}, min {:.6g}, max {:.6g}\n", band + 1,
                        mean, deviation, low, high);
    json["statistics"].push_back({{"mean", mean}, {"std", deviation}, {"min", low}, {"max", high}});
  }
  for (const std::string& note : image.notes) text += "note: " + note + "\n";
  if (image.nodata) text += fmt::format("nodata: {}\n", *image.nodata);
  if (image.format == ImageFormat::tiff)
    if (const GeoTags geo = read_geotags(s.thing); geo)
      text += fmt::format("georeferenced: {} tags{}\n", geo.tags.size(),
                          geo.warning().empty() ? "" : ", " + geo.warning());
  print_result(s.common, text);
  write_json(s.common, json);
  return 0;
}

int inspect_model(const InspectSettings& s, const fs::path& path) {
  FileBytes bytes = open_bytes(path);
  refuse_torch_file(bytes);
  const SafetensorsFile file(std::move(bytes));
  std::int64_t values = 0;
  std::string rows;
  std::vector<Digest> digests;
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const TensorEntry& tensor : file.header().tensors) {
    digests.push_back(digest_of(tensor, file.read(tensor)));
    values += tensor.count();
    rows += fmt::format("  {:<4} {:<20} {}\n", name_of(tensor.type), shape_text(tensor.shape),
                        printable(tensor.name));
    tensors.push_back({{"name", printable(tensor.name)},
                       {"type", name_of(tensor.type)},
                       {"shape", tensor.shape}});
  }
  verify_hash(file, digests);
  const std::string hash = combined_hash(digests);
  std::string text = fmt::format("model file {}\n{} tensors, {} values, {}\n", file.name(),
                                 file.header().tensors.size(), values, hash);
  nlohmann::ordered_json metadata = nlohmann::ordered_json::object();
  for (const auto& [key, value] : file.header().metadata) {
    text += fmt::format("{}: {}\n", printable(key), printable(value.substr(0, 300)));
    metadata[printable(key)] = printable(value);
  }
  print_result(s.common, text + rows);
  write_json(s.common, {{"kind", "model"},
                        {"hash", hash},
                        {"values", values},
                        {"metadata", metadata},
                        {"tensors", tensors}});
  return 0;
}

int inspect_run(const InspectSettings& s, const fs::path& run) {
  std::string text = fmt::format("run {}\n", printable(run.string()));
  nlohmann::ordered_json json = {{"kind", "run"}};
  for (const char* which : {"last", "best"}) {
    std::error_code error;
    const fs::path target = fs::read_symlink(run / "checkpoints" / which, error);
    if (!error) text += fmt::format("{}: {}\n", which, printable(target.string()));
    json[which] = error ? nlohmann::ordered_json(nullptr)
                        : nlohmann::ordered_json(printable(target.string()));
  }
  const std::vector<EpochRow> rows = read_metrics(run / "metrics.csv");
  text += fmt::format("{:>6} {:>8} {:>10} {:>10} {:>8}\n", "epoch", "step", "train loss",
                      "val loss", "mIoU");
  for (const EpochRow& row : rows)
    text +=
        fmt::format("{:>6} {:>8} {:>10.4f} {:>10.4f} {:>8}\n", row.epoch, row.step, row.train_loss,
                    row.val_loss, row.val_miou ? fmt::format("{:.4f}", *row.val_miou) : "n/a");
  json["epochs"] = rows.size();
  if (fs::exists(run / "config.toml"))
    text += "config:\n" + read_small_file(run / "config.toml", 1 << 20, "config");
  print_result(s.common, text);
  write_json(s.common, json);
  return 0;
}

// The decoder's enlarging may be a part of its convolutions, where the backend has that.
// Of the forward pass: not one that is run again going backward.
bool is_forward_convolution(const Step& step) {
  return !step.again && (std::strcmp(step.op, "conv_forward") == 0 ||
                         std::strcmp(step.op, "upsample_conv_forward") == 0 ||
                         std::strcmp(step.op, "conv_transpose_forward") == 0 ||
                         std::strcmp(step.op, "conv_inference") == 0);
}

std::string layer_table(const Recorded& recorded) {
  std::string text =
      fmt::format("{:<34} {:>18} {:>12} {:>10}\n", "convolution", "output", "parameters", "MMAC");
  for (const Step& step : recorded.tape->steps) {
    if (!is_forward_convolution(step)) continue;
    text +=
        fmt::format("{:<34} {:>18} {:>12} {:>10.1f}\n", step.path, to_string(step.writes[0]->shape),
                    filter_read(step).shape.count(), 1e-6 * double(multiply_adds(step)));
  }
  return text;
}

int inspect_plan(const InspectSettings& s) {
  const ModelOptions model = model_options_of(s.model, 3);
  if (s.size == ImageSize{0, 0})
    throw Error(ExitCode::usage, "flag-value", "--size 0", "a plan needs a size",
                "give --size 512");
  const bool infer = s.infer && !s.train;
  const Compute compute = start_compute(s.common, s.compute);
  Recorded recorded(
      {.model = model,
       .image = {s.batch, s.size.height, s.size.width, model.in_channels},
       .mode = infer ? Mode::eval : Mode::train,
       .backend = compute.backend,
       .precision = compute.precision,
       .algorithm = compute.algorithm,
       .filters = compute.filters,
       .activations = compute.activations,
       .loss = model.classes > 1 ? "0.5*lovasz+0.5*softce(smooth=0.1)" : "0.5*dice+0.5*bce"});
  std::int64_t forward = 0;
  for (const Step& step : recorded.tape->steps)
    if (is_forward_convolution(step)) forward += multiply_adds(step);
  const double planned = static_cast<double>(recorded.planned_bytes()) / 1048576.0;
  const std::int64_t parameters = parameter_count(recorded.parameters);
  print_result(s.common, layer_table(recorded));
  print_result(s.common,
               fmt::format("{} parameters, {:.2f} GMAC forward for the batch\n{}planned memory: "
                           "{:.0f} MiB for {}\n",
                           parameters, 1e-9 * double(forward), recorded.plan->report(), planned,
                           infer ? "a forward pass" : "a training step"));
  write_json(s.common, {{"kind", "plan"},
                        {"model", model.arch + "-" + model.encoder},
                        {"parameters", parameters},
                        {"multiply_adds", forward},
                        {"arena_mib", double(recorded.plan->arena_bytes()) / 1048576.0},
                        {"planned_mib", planned}});
  return 0;
}

int inspect_folder(const InspectSettings& s) {
  const fs::path folder = s.thing;
  if (fs::exists(folder / "model.safetensors"))
    return inspect_model(s, folder / "model.safetensors");
  if (fs::exists(folder / "checkpoints") || fs::exists(folder / "metrics.csv"))
    return inspect_run(s, folder);
  return examine(s.common, s.thing,
                 {.labels = {s.model.classes.value_or(1), s.labels, {}, {}},
                  .split = {},
                  .threads = threads()});
}

// Other zip archives than those of torch.save, whose first entry is data.pkl, are called zips.
bool holds_torch_weights(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".pth" || extension == ".pt" || extension == ".ckpt") return true;
  const FileBytes bytes = open_bytes(path);
  const std::string head = bytes.text(0, std::min<std::uint64_t>(bytes.size, 300));
  const bool archive = head.starts_with("PK") || head.find("ustar") != head.npos;
  return !archive || head.find("/data.pkl") != head.npos;
}

}  // namespace

int inspect(int argc, char** argv) {
  InspectSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  options.check_conflicts();
  check_compute_flags(s.compute, s.common);
  apply_common_flags(s.common);
  if (s.thing.empty()) {
    if (s.train || s.infer || options.given("encoder") || options.given("arch"))
      return inspect_plan(s);
    throw Error(ExitCode::usage, "missing-argument", "THING", "it is not said what to look at",
                "name a file or folder, or give --encoder and --train");
  }
  std::error_code ignored;
  if (fs::is_directory(s.thing, ignored)) return inspect_folder(s);
  if (s.thing.ends_with(".safetensors")) return inspect_model(s, s.thing);
  if (holds_torch_weights(s.thing)) refuse_torch_file(open_bytes(s.thing));
  return inspect_image(s);
}

}  // namespace fjord
