// fjord-predict.
#include "tools/prediction.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/geotiff.h"
#include "data/image_write.h"
#include "kernels/threads.h"
#include "tools/compute.h"
#include "tools/files.h"
#include "tools/inputs.h"
#include "tools/log.h"
#include "tools/mask.h"
#include "tools/network.h"
#include "tools/overlays.h"
#include "tools/program.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

const ProgramText kText{
    "fjord-predict", "MODEL IMAGE... --output DIR [flags]   (IMAGE: files, folders, \"patterns\")",
    "predicts masks of the size of their images",
    "  fjord-predict runs/buildings-unet-resnet34-001 photos --output masks --overlay\n"
    "  fjord-predict model.safetensors \"tiles/*.tif\" --encoder resnet18 --output masks\n"
    "  fjord-predict --model runs/a --model runs/b photo.png --output masks --raw\n"};

struct PredictSettings {
  CommonFlags common;
  ModelRequest request;
  ComputeFlags compute;
  std::vector<std::string> inputs, models;
  std::string output, average = "logits";
  double threshold = 0.5;
  bool raw = false, probabilities = false, overlay = false, tta = false, buckets = false;
  std::optional<int> tile;
  std::optional<double> overlap;
};

void add_flags(Options& options, PredictSettings& s) {
  options.positional("arguments", &s.inputs, {.saved = false});
  options.group("prediction");
  options.flag("output", &s.output, {.value = "DIR", .help = "where masks are written"});
  options.flag("threshold", &s.threshold,
               {.value = "P", .help = "of one class (0.5)", .range = {0, 1, true, true}});
  options.flag("model", &s.models, {.value = "MODEL", .help = "several are averaged"});
  options.flag(
      "average", &s.average,
      {.value = "WHAT", .help = "logits, probabilities", .choices = {"logits", "probabilities"}});
  options.flag("raw", &s.raw, {.help = "also STEM.npy, logits"});
  options.flag("probabilities", &s.probabilities, {.help = "also STEM_probabilities.tif"});
  options.flag("overlay", &s.overlay, {.help = "also STEM_overlay.png"});
  options.flag("tile", &s.tile, {.value = "N", .range = {32, 65536}});
  options.flag("overlap", &s.overlap, {.value = "F", .range = {0, 1, false, true}});
  options.flag("tta", &s.tta, {});
  options.flag("buckets", &s.buckets, {});
  add_request_flags(options, s.request);
  add_compute_flags(options, s.compute);
  add_common_flags(options, s.common);
}

void check_settings(const PredictSettings& s) {
  auto later = [](bool given, std::string_view flag, std::string_view instead) {
    if (given)
      throw Error(ExitCode::usage, "not-yet", flag, "this build predicts whole images only",
                  instead);
  };
  later(s.tile.has_value() || s.overlap.has_value(), "--tile", "use --size for large images");
  later(s.tta, "--tta", "average several models with --model instead");
  later(s.buckets, "--buckets", "use --size to give all images one size");
  check_compute_flags(s.compute, s.common);
  if (s.output.empty())
    throw Error(ExitCode::usage, "missing-argument", "--output", "fjord-predict needs a folder",
                "give --output DIR");
  if (s.inputs.size() < (s.models.empty() ? 2u : 1u))
    throw Error(ExitCode::usage, "missing-argument", "IMAGE",
                "fjord-predict needs a model and images",
                "fjord-predict MODEL IMAGE... --output DIR");
}

std::vector<std::unique_ptr<Network>> open_networks(const PredictSettings& s) {
  std::vector<std::unique_ptr<Network>> networks;
  const std::vector<std::string> paths =
      s.models.empty() ? std::vector<std::string>{s.inputs[0]} : s.models;
  for (const std::string& path : paths) {
    ModelRequest request = s.request;
    request.path = path;
    networks.push_back(std::make_unique<Network>(request));
    const ModelOptions& options = networks.back()->record().model;
    say("model: {} ({} with {}, classes: {}), images {}", printable(path), options.arch,
        options.encoder, options.classes, to_string(networks.back()->framing()));
    const ModelOptions& first = networks.front()->record().model;
    if (options.classes != first.classes || options.in_channels != first.in_channels)
      throw Error(
          ExitCode::usage, "models-differ", printable(path),
          fmt::format("has {} classes and {} channels, the first model {} and {}", options.classes,
                      options.in_channels, first.classes, first.in_channels),
          "average models of one kind with --model");
  }
  return networks;
}

void to_probabilities(Logits& logits) {
  const auto c = static_cast<std::size_t>(logits.classes);
  for (std::size_t i = 0; i < logits.values.size(); i += c) {
    float* pixel = logits.values.data() + i;
    if (c == 1) {
      pixel[0] = 1 / (1 + std::exp(-pixel[0]));
      continue;
    }
    const float largest = *std::max_element(pixel, pixel + c);
    float sum = 0;
    for (std::size_t k = 0; k < c; ++k) sum += pixel[k] = std::exp(pixel[k] - largest);
    for (std::size_t k = 0; k < c; ++k) pixel[k] /= sum;
  }
}

// Logits at the network's own size and at the image's; what a mask is decided by.
struct Averaged {
  Logits raw, native;          // raw is empty when the models run at different sizes
  bool probabilities = false;  // native holds probabilities
};

Averaged run_all(const PredictSettings& s, std::vector<std::unique_ptr<Network>>& networks,
                 const Image& image) {
  Averaged result;
  result.probabilities = s.average == "probabilities";
  const float share = 1.0f / static_cast<float>(networks.size());
  auto add = [share](Logits& sum, const Logits& one) {
    if (sum.values.empty())
      sum = {one.height, one.width, one.classes, std::vector<float>(one.values.size())};
    for (std::size_t i = 0; i < one.values.size(); ++i) sum.values[i] += share * one.values[i];
  };
  bool same_size = true;
  for (auto& network : networks) {
    const Logits logits = network->run(image);
    if (!result.raw.values.empty() &&
        (result.raw.height != logits.height || result.raw.width != logits.width))
      same_size = false;
    if (same_size) add(result.raw, logits);
    Logits native = resize_logits(logits, image.height, image.width);
    if (result.probabilities) to_probabilities(native);
    add(result.native, native);
  }
  if (!same_size) result.raw = {};
  return result;
}

void write_raw(const fs::path& path, const Logits& logits) {
  if (logits.values.empty())
    throw Error(ExitCode::usage, "raw", "--raw", "the models run at different sizes",
                "give one with --size");
  const auto c = static_cast<std::size_t>(logits.classes), pixels = logits.values.size() / c;
  std::vector<float> planes(logits.values.size());
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t k = 0; k < c; ++k) planes[k * pixels + i] = logits.values[i * c + k];
  write_npy(path, planes, logits.classes, logits.height, logits.width);
}

void write_probabilities(const fs::path& path, Averaged& averaged, const GeoTags& geo) {
  if (!averaged.probabilities) to_probabilities(averaged.native);
  const Logits& p = averaged.native;
  Image image = make_image(p.height, p.width, p.classes, DType::f32);
  std::memcpy(image.pixels.data(), p.values.data(), image.pixels.size());
  write_tiff(path, image, geo ? &geo : nullptr);
}

GeoTags geotags_of(const fs::path& path, const Image& image) {
  return image.format == ImageFormat::tiff ? read_geotags(path) : GeoTags{};
}

std::vector<std::uint8_t> decide(const PredictSettings& s, const Averaged& averaged) {
  // A probability p is above t exactly where its logit is above that of t.
  if (!averaged.probabilities || averaged.native.classes > 1)
    return classes_of(averaged.native, s.threshold);
  std::vector<std::uint8_t> classes;
  for (const float p : averaged.native.values) classes.push_back(p > s.threshold);
  return classes;
}

// A mask of one value is what a wrong normalisation looks like.
void warn_if_constant(const fs::path& path, const std::vector<std::uint8_t>& classes) {
  if (std::adjacent_find(classes.begin(), classes.end(), std::not_equal_to<>()) == classes.end())
    warn("{}: the output is constant (class {}); if that is unexpected, check --normalize",
         printable(path.string()), classes.empty() ? 0 : classes[0]);
}

void predict_one(const PredictSettings& s, std::vector<std::unique_ptr<Network>>& networks,
                 const fs::path& path) {
  const Image image = networks.front()->read(path);
  Averaged averaged = run_all(s, networks, image);
  const std::vector<std::uint8_t> classes = decide(s, averaged);
  warn_if_constant(path, classes);
  const GeoTags geo = geotags_of(path, image);
  const Image mask = mask_of(classes, image.height, image.width, networks.front()->record());
  const fs::path stem = fs::path(s.output) / path.stem();
  if (geo) {
    if (const std::string text = geo.warning(); !text.empty())
      warn("{}: {}", printable(path.string()), text);
    write_tiff(stem.string() + ".tif", mask, &geo);
  } else {
    write_png(stem.string() + ".png", mask);
  }
  if (s.raw) write_raw(stem.string() + ".npy", averaged.raw);
  if (s.probabilities) write_probabilities(stem.string() + "_probabilities.tif", averaged, geo);
  if (s.overlay) write_png(stem.string() + "_overlay.png", prediction_overlay(image, classes));
}

}  // namespace

int predict(int argc, char** argv) {
  PredictSettings s;
  Options options(kText);
  add_flags(options, s);
  if (!options.parse(argc, argv)) return 0;
  check_settings(s);
  apply_common_flags(s.common);
  s.request.compute = start_compute(s.common, s.compute);
  require_writable(s.output);
  const std::vector<std::string> names(s.inputs.begin() + (s.models.empty() ? 1 : 0),
                                       s.inputs.end());
  const std::vector<fs::path> images = find_images(names);
  refuse_folder_of(images, s.output);
  auto networks = open_networks(s);
  const auto start = std::chrono::steady_clock::now();
  for (const fs::path& path : images) predict_one(s, networks, path);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  say("{} images in {:.1f} s: {}", images.size(), seconds, printable(s.output));
  write_json(s.common,
             {{"images", images.size()}, {"output", printable(s.output)}, {"seconds", seconds}});
  return 0;
}

}  // namespace fjord
