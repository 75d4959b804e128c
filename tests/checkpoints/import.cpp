// Importing a whole model: what is adapted, what stays as drawn, what is left over or refused.
#include "models/import.h"

#include <algorithm>

#include "engine/model.h"
#include "models/weights.h"
#include "tests/checkpoints/files.h"
#include "tests/checkpoints/model.h"

namespace fjord::test {

namespace {

struct ModelFileOf {
  Folder folder;
  std::filesystem::path path = folder / "model.safetensors";
  Parameters model;

  explicit ModelFileOf(const ModelOptions& options) { declare(model, options, 1); }
  static void declare(Parameters& parameters, const ModelOptions& options, std::uint64_t seed) {
    declare_parameters(
        parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
        options.in_channels, seed);
  }
  void write(std::vector<TensorSource> more = {}, std::string_view without = "(none)") {
    std::vector<TensorSource> tensors = tensor_sources(model, "model");
    std::erase_if(tensors, [&](const TensorSource& t) { return t.name.starts_with(without); });
    for (TensorSource& t : more) tensors.push_back(std::move(t));
    save_safetensors(path, std::move(tensors), {.hashed = false});
  }
};

const ModelOptions kSmall{
    .encoder = "resnet18", .classes = 3, .encoder_depth = 3, .decoder_channels = {16, 8, 8}};

bool has(const std::vector<std::string>& notes, std::string_view line) {
  return std::ranges::find(notes, line) != notes.end();
}

}  // namespace

TEST_CASE("a file's encoder, classes and channels are recognised") {
  ModelFileOf made(kSmall);
  made.write();
  ModelOptions asked = kSmall;
  asked.encoder = "resnet34", asked.classes = 0, asked.in_channels = 0;
  const auto file = open_tensors(made.path);
  CHECK(kind_of(*file) == WeightsKind::model);
  const ModelOptions found = recognise(*file, asked, {});
  CHECK(found.encoder == "resnet18");
  CHECK(found.classes == 3);
  CHECK(found.in_channels == 3);
  CHECK(recognise(*file, asked, {.encoder = true}).encoder == "resnet34");
}

TEST_CASE("the decoder is read off the tensors whether or not the encoder is given") {
  for (const std::string_view arch : architecture_names()) {
    ModelOptions options = kSmall;
    options.arch = arch;
    if (arch == "linknet") options.decoder_channels = default_channels(3);
    ModelFileOf made(options);
    made.write();
    const auto file = open_tensors(made.path);
    ModelOptions asked = options;
    asked.arch = "unet";
    CHECK(recognise(*file, asked, {.encoder = true}).arch == arch);
    CHECK(recognise(*file, asked, {.arch = true, .encoder = true}).arch == "unet");
    CHECK(recognise(*file, asked, {.arch = true}).arch == "unet");
  }
}

TEST_CASE("another head and other input channels are met by SMP's rules, and said") {
  ModelFileOf made(kSmall);
  made.write({source("loss.weight", {1}, {2})});
  ModelOptions options = kSmall;
  options.classes = 2, options.in_channels = 4;
  Parameters parameters;
  ModelFileOf::declare(parameters, options, 7);
  const std::vector<float> head =
      parameters.file_values(*parameters.find("segmentation_head.0.weight"));
  const Loaded loaded = import_model(*open_tensors(made.path), parameters, 7);
  CHECK(parameters.file_values(*parameters.find("segmentation_head.0.weight")) == head);
  CHECK(parameters.file_values(*parameters.find("encoder.layer1.0.conv1.weight")) ==
        made.model.file_values(*made.model.find("encoder.layer1.0.conv1.weight")));
  CHECK(parameters.file_values(*parameters.find("encoder.conv1.weight")) ==
        adapt_first_conv(made.model.file_values(*made.model.find("encoder.conv1.weight")),
                         {64, 4, 49}));
  CHECK(has(loaded.notes,
            "of other classes, so drawn anew: segmentation_head.0.weight, "
            "segmentation_head.0.bias"));
  CHECK(has(loaded.notes, "left over: loss.weight [1]"));
  CHECK(has(loaded.notes,
            "encoder.conv1.weight: 3 input channels adapted to 4 (in turn, times 3/4)"));
}

TEST_CASE("torch's AveragedModel: its prefix is taken off, its count left over") {
  ModelFileOf made(kSmall);
  std::vector<TensorSource> tensors = tensor_sources(made.model, "model");
  for (TensorSource& t : tensors) t.name = "module." + t.name;
  const std::int64_t count = 3;
  tensors.push_back({"n_averaged", FileType::i64, {}, [&count](const Sink& sink) {
                       sink(std::as_bytes(std::span(&count, 1)));
                     }});
  save_safetensors(made.path, std::move(tensors), {.hashed = false});
  const auto file = open_tensors(made.path);
  CHECK(kind_of(*file) == WeightsKind::model);
  CHECK(recognise(*file, kSmall, {}).encoder == "resnet18");
  Parameters parameters;
  ModelFileOf::declare(parameters, kSmall, 7);
  const Loaded loaded = import_model(*file, parameters, 7);
  CHECK(state_hash(parameters) == state_hash(made.model));
  CHECK(std::ranges::any_of(loaded.notes, [](const std::string& note) {
    return note.starts_with("prefix 'module.' taken off");
  }));
  CHECK(has(loaded.notes, "left over: n_averaged []"));
}

TEST_CASE("a model with tensors missing or of another network is refused") {
  ModelFileOf made(kSmall);
  made.write({}, "decoder.blocks.1.conv2");
  Parameters parameters;
  ModelFileOf::declare(parameters, kSmall, 7);
  const Caught missing = caught([&] { import_model(*open_tensors(made.path), parameters, 7); });
  CHECK(missing.exit == 4);
  CHECK(missing.line.find("5 missing (decoder.blocks.1.conv2.0.weight, ") != std::string::npos);

  made.write();
  ModelOptions wider = kSmall;
  wider.decoder_channels = {32, 8, 8};
  Parameters other;
  ModelFileOf::declare(other, wider, 7);
  const Caught reshaped = caught([&] { import_model(*open_tensors(made.path), other, 7); });
  CHECK(reshaped.exit == 4);
  CHECK(
      reshaped.line.find("of another shape (decoder.blocks.0.conv1.0.weight: file [16, 192, 3, 3], "
                         "model [32, 192, 3, 3]") != std::string::npos);
}

TEST_CASE("a decoder's levels are read off the tensors") {
  for (const std::string_view arch : architecture_names()) {
    ModelOptions options = kSmall;
    options.arch = arch;
    options.decoder_channels = arch == "linknet" ? default_channels(3) : std::vector{24, 16, 8};
    ModelFileOf made(options);
    made.write();
    const auto file = open_tensors(made.path);
    const ModelOptions found = recognise(*file, {}, {});
    CHECK(found.encoder_depth == 3);
    CHECK(found.decoder_channels == options.decoder_channels);
  }
}

TEST_CASE("a file of another network is refused by naming the network that fits") {
  ModelOptions manet = kSmall;
  manet.arch = "manet", manet.decoder_channels = {16, 16, 8}, manet.pab_channels = 8;
  ModelFileOf made(manet);
  made.write();
  Parameters parameters;
  ModelFileOf::declare(parameters, kSmall, 7);
  constexpr std::string_view nearest =
      " - the nearest network is --arch manet --encoder resnet18 --in-channels 3 --classes 3 "
      "--encoder-depth 3 --decoder-channels 16,16,8 --pab-channels 8 (all of its tensors fit)";
  const Caught imported = caught([&] { import_model(*open_tensors(made.path), parameters, 7); });
  CHECK(imported.exit == 4);
  CHECK(imported.line.find(" unexpected (decoder.blocks.0.") != std::string::npos);
  CHECK(imported.line.ends_with(nearest));
  const Caught loaded = caught([&] { load_state_dict(made.path, parameters, nearest_network); });
  CHECK(loaded.line.ends_with(nearest));

  made.write({source("more.weight", {1}, {2})}, "decoder.blocks.1.conv2.0");
  CHECK(nearest_network(*open_tensors(made.path), 3).ends_with("8 (2 tensors differ)"));
  CHECK(nearest_network(*open_tensors(made.path), 2) ==
        "no other network of fjord's is nearer to it: use a whole file, or another one");
  made.write({}, "encoder.");
  CHECK(nearest_network(*open_tensors(made.path), 99).starts_with("none of fjord's networks"));
  std::vector<TensorSource> tensors = tensor_sources(made.model, "model");
  std::erase_if(tensors, [](const TensorSource& t) { return !t.name.starts_with("encoder."); });
  save_safetensors(made.path, std::move(tensors), {.hashed = false});
  const Caught encoder = caught([&] {
    Parameters other;
    ModelFileOf::declare(other, {.encoder = "mobilenet_v2"}, 7);
    load_encoder_weights(made.path, other);
  });
  CHECK(encoder.line.ends_with(
      "it is an encoder's, the nearest is --encoder resnet18 --in-channels 3"));
}

TEST_CASE("prefixes of wrappers within wrappers, and four channels behind them") {
  ModelOptions options = kSmall;
  options.in_channels = 4;
  ModelFileOf made(options);
  for (const std::string prefix : {"net.", "state_dict.model._orig_mod."}) {
    std::vector<TensorSource> tensors = tensor_sources(made.model, "model");
    for (TensorSource& t : tensors) t.name = prefix + t.name;
    save_safetensors(made.path, std::move(tensors), {.hashed = false});
    const auto file = open_tensors(made.path);
    CHECK(recognise(*file, {.in_channels = 0}, {}).in_channels == 4);
    Parameters parameters;
    ModelFileOf::declare(parameters, options, 7);
    import_model(*file, parameters, 7);
    CHECK(state_hash(parameters) == state_hash(made.model));
  }
}

}  // namespace fjord::test
