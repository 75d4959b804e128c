// Names, shapes, order and initial values of parameters are SMP's.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "engine/model.h"
#include "kernels/cpu/backend.h"
#include "tests/golden/model_run.h"

namespace fjord {

namespace {

using Lines = std::vector<std::string>;

/// The published lists: "resnet18" and "resnet34" (encoders) and "Unet" (all but the encoder).
std::map<std::string, Lines> published() {
  std::map<std::string, Lines> lists;
  std::ifstream in(FJORD_MODELS_DATA "/keys.txt");
  REQUIRE(in);
  std::string title;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("# "))
      title = line.substr(2);
    else
      lists[title].push_back(line);
  }
  return lists;
}

Lines state_dict(const Parameters& parameters) {
  Lines lines;
  for (const Parameter& p : parameters.all()) {
    std::string shape;
    for (std::int64_t extent : p.file_shape())
      shape += (shape.empty() ? "" : "x") + std::to_string(extent);
    lines.push_back(p.name + "\t" + (shape.empty() ? "scalar" : shape));
  }
  return lines;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return text;
}

std::int64_t weights(const Parameters& parameters) {
  std::int64_t count = 0;
  for (const Parameter& p : parameters.all())
    if (p.role == Role::weight) count += p.count();
  return count;
}

golden::ModelRun recorded(const ModelOptions& model, bool encoder_only = false) {
  enable_cpu_kernels();
  return golden::ModelRun({.model = model,
                           .image = {.n = 1, .h = 32, .w = 32, .c = model.in_channels},
                           .encoder_only = encoder_only});
}

Lines expected_unet(const std::string& encoder) {
  auto lists = published();
  Lines lines;
  for (const std::string& line : lists.at(encoder)) lines.push_back("encoder." + line);
  const Lines& rest = lists.at("Unet");
  lines.insert(lines.end(), rest.begin(), rest.end());
  return lines;
}

}  // namespace

TEST_CASE("a Unet's state_dict has SMP's keys and shapes in SMP's order") {
  for (const char* encoder : {"resnet18", "resnet34"}) {
    const auto run = recorded({.encoder = encoder, .classes = 5});
    CHECK(state_dict(run.parameters) == expected_unet(encoder));
  }
}

TEST_CASE("every network's keys and shapes have the number and the hash of SMP's") {
  std::ifstream in(FJORD_MODELS_DATA "/key_sums.txt");
  REQUIRE(in);
  std::string name, kind, hash;
  std::size_t count = 0;
  std::set<std::string> encoders;
  while (in >> name >> kind >> count >> hash) {
    ModelOptions options{.classes = 5};
    if (kind == "rest") options.arch = lower(name.substr(0, name.find('/')));
    options.encoder = kind == "rest" ? name.substr(name.find('/') + 1) : name;
    if (const auto variant = options.encoder.find('/'); variant != options.encoder.npos) {
      if (options.encoder.ends_with("/scse")) options.attention = Attention::scse;
      if (options.encoder.ends_with("/nonorm")) options.decoder_norm = DecoderNorm::identity;
      if (options.encoder.ends_with("/aux")) options.classification = {.classes = 4};
      options.encoder.resize(variant);
    }
    Parameters parameters;
    list_parameters(
        parameters, [&](Net net, Tensor image) { return build_model(net, image, options); }, 3);
    Lines lines;
    for (const std::string& line : state_dict(parameters)) {
      const bool of_encoder = line.starts_with("encoder.");
      if (of_encoder == (kind == "encoder")) lines.push_back(of_encoder ? line.substr(8) : line);
    }
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    CHECK_MESSAGE(lines.size() == count, name);
    CHECK_MESSAGE(fmt::format("{:016x}", golden::fnv1a(text)) == hash, name);
    encoders.insert(options.encoder);
  }
  // Not in the published lists; tests/peers/check_family.py asks SMP.
  for (const char* encoder : {"timm-resnest200e", "timm-resnest269e", "timm-resnest50d_4s2x40d",
                              "timm-resnest50d_1s4x24d"})
    CHECK(encoders.insert(encoder).second);
  CHECK(encoders.size() == encoder_names().size());
}

TEST_CASE("recorded in training mode, the order is the same") {
  enable_cpu_kernels();
  const golden::ModelRun run({.mode = Mode::train,
                              .model = {.encoder = "resnet34", .classes = 5},
                              .image = {.n = 2, .h = 32, .w = 32, .c = 3},
                              .loss = "softce"});
  CHECK(state_dict(run.parameters) == expected_unet("resnet34"));
}

TEST_CASE("parameter counts are SMP's") {
  CHECK(weights(recorded({.encoder = "resnet18"}, true).parameters) == 11176512);
  CHECK(weights(recorded({.encoder = "resnet34"}, true).parameters) == 21284672);
  CHECK(weights(recorded({.encoder = "resnet18", .classes = 5}).parameters) == 14328789);
  CHECK(weights(recorded({.encoder = "resnet34", .classes = 5}).parameters) == 24436949);
}

TEST_CASE("unused stages keep their parameters and stay untrained") {
  enable_cpu_kernels();
  const golden::ModelRun run({.mode = Mode::train,
                              .model = {.encoder = "resnet18",
                                        .classes = 5,
                                        .encoder_depth = 3,
                                        .decoder_channels = {64, 32, 16}},
                              .image = {.n = 2, .h = 16, .w = 16, .c = 3},
                              .loss = "softce"});
  CHECK(weights(run.parameters) == 11378133);
  const Lines keys = state_dict(run.parameters), encoder = expected_unet("resnet18");
  CHECK(Lines(keys.begin(), keys.begin() + 120) == Lines(encoder.begin(), encoder.begin() + 120));
  for (const Parameter& p : run.parameters.all())
    if (p.role == Role::weight) {
      const bool unused =
          p.name.find(".layer3.") != p.name.npos || p.name.find(".layer4.") != p.name.npos;
      CHECK_MESSAGE(p.trained == !unused, p.name);
    }
}

TEST_CASE("a frozen encoder gets no gradient and keeps its statistics") {
  enable_cpu_kernels();
  golden::ModelRun run({.mode = Mode::train,
                        .model = {.encoder = "resnet18", .freeze_encoder = true},
                        .image = {.n = 2, .h = 32, .w = 32, .c = 3},
                        .loss = "bce"});
  run.fill_parameters();
  run.fill_image("input");
  run.fill_label(golden::binary_labels("train.bintarget", 2 * 32 * 32, 0.2));
  const Parameter& mean = *run.parameters.find("encoder.bn1.running_mean");
  const Parameter& decoder = *run.parameters.find("decoder.blocks.0.conv1.1.running_mean");
  const auto before = golden::values(mean.value), decoder_before = golden::values(decoder.value);
  run.run();
  CHECK(golden::values(mean.value) == before);
  CHECK(golden::values(decoder.value) != decoder_before);
  for (const Parameter& p : run.parameters.all())
    if (p.role == Role::weight) CHECK_MESSAGE(p.trained == !p.name.starts_with("encoder."), p.name);
}

namespace {

struct Spread {
  double mean = 0, std = 0, largest = 0;
};

Spread spread(golden::ModelRun& run, const char* key) {
  const Parameter* p = run.parameters.find(key);
  REQUIRE(p);
  Spread s;
  const auto list = golden::values(p->value);
  for (double x : list) s.mean += x / static_cast<double>(list.size());
  for (double x : list) s.std += (x - s.mean) * (x - s.mean) / static_cast<double>(list.size());
  for (double x : list) s.largest = std::fmax(s.largest, std::fabs(x));
  s.std = std::sqrt(s.std);
  return s;
}

void check_uniform(golden::ModelRun& run, const char* key, double bound) {
  const Spread s = spread(run, key);
  INFO(key);
  // The tensors have 720 values or more: their largest is within 2 %, their spread within 5 %.
  CHECK(s.largest <= bound);
  CHECK(s.largest == doctest::Approx(bound).epsilon(0.02));
  CHECK(s.std == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.05));
}

}  // namespace

TEST_CASE("fresh weights are drawn as SMP draws them") {
  auto run = recorded({.encoder = "resnet18", .in_channels = 4, .classes = 5});
  run.parameters.initialize(3);
  const Spread conv = spread(run, "encoder.layer1.0.conv1.weight");
  CHECK(conv.std == doctest::Approx(std::sqrt(2.0 / (64 * 9))).epsilon(0.02));
  CHECK(std::fabs(conv.mean) < 4 * conv.std / std::sqrt(64.0 * 64 * 9));
  CHECK(conv.largest > 3 * conv.std);                                   // a normal distribution
  check_uniform(run, "encoder.conv1.weight", 1 / std::sqrt(4.0 * 49));  // not 3 channels: replaced
  check_uniform(run, "decoder.blocks.0.conv1.0.weight", std::sqrt(6.0 / (768 * 9)));
  check_uniform(run, "segmentation_head.0.weight", std::sqrt(6.0 / (9 * 16 + 9 * 5)));
  CHECK(spread(run, "segmentation_head.0.bias").largest == 0);
  CHECK(spread(run, "encoder.bn1.bias").largest == 0);
  CHECK(spread(run, "encoder.bn1.weight").mean == 1);
  CHECK(spread(run, "encoder.bn1.running_var").mean == 1);
  auto rgb = recorded({.encoder = "resnet18"});
  rgb.parameters.initialize(3);
  CHECK(spread(rgb, "encoder.conv1.weight").std ==
        doctest::Approx(std::sqrt(2.0 / (64 * 49))).epsilon(0.05));
}

}  // namespace fjord
