// Encoder weights: whose names are read, how the first convolution is adapted, what is refused.
#include "models/weights.h"

#include <cstring>

#include "tests/checkpoints/files.h"
#include "tests/checkpoints/model.h"

namespace fjord::test {

namespace {

/// The small model's encoder (3 channels) as a file under other names.
struct EncoderFile {
  Folder folder;
  std::filesystem::path path = folder / "encoder.safetensors";
  Parameters model;

  EncoderFile() {
    add_small_model(model);
    for (int i = 0; i < 4; ++i) {
      values(model, "encoder.bn1.running_mean")[i] = 0.25f * static_cast<float>(i);
      values(model, "encoder.bn1.running_var")[i] = 1.5f + static_cast<float>(i);
    }
  }
  /// Every tensor whose name starts with `from`, under `to` and the rest of its name.
  std::vector<TensorSource> renamed(std::string_view from, std::string_view to) const {
    std::vector<TensorSource> tensors = tensor_sources(model, "model");
    std::erase_if(tensors, [&](const TensorSource& t) { return !t.name.starts_with(from); });
    for (TensorSource& t : tensors) t.name = std::string(to) + t.name.substr(from.size());
    return tensors;
  }
  void write(const std::vector<TensorSource>& tensors) const {
    save_safetensors(path, tensors, {.hashed = false});
  }
  void check_encoder_equals(Parameters& other) {
    for (const Parameter& p : model.all())
      if (p.name.starts_with("encoder.")) {
        CAPTURE(p.name);
        CHECK(std::memcmp(p.value.data, other.find(p.name)->value.data, p.value.bytes()) == 0);
      }
  }
};

}  // namespace

TEST_CASE("torchvision's and timm's names, with a classifier and without counters") {
  EncoderFile file;
  std::vector<TensorSource> tensors = file.renamed("encoder.", "");
  std::erase_if(tensors, [](const TensorSource& t) { return t.type == FileType::i64; });
  tensors.push_back(source("module.fc.weight", {2, 4}, std::vector<float>(8, 0)));
  tensors.push_back(source("fc.bias", {2}, {0, 0}));
  file.write(tensors);
  Parameters model;
  add_small_model(model);
  model.initialize(9);
  const std::vector<float> head = model.file_values(*model.find("segmentation_head.0.weight"));
  const Loaded loaded = load_encoder_weights(file.path, model);
  CHECK(loaded.notes == std::vector<std::string>{"prefix 'module.' taken off 1 tensor names",
                                                 "classifier left out (fc.bias, fc.weight)",
                                                 "5 encoder tensors read"});
  file.check_encoder_equals(model);
  CHECK(model.file_values(*model.find("segmentation_head.0.weight")) == head);
}

TEST_CASE("an encoder that SMP keeps under `model.` is filled from timm's own file of it") {
  Parameters timm, model;
  timm.get("encoder.conv1.0.weight", {2, 1, 1, 3}, true, Role::weight, Init::torch_default);
  model.get("encoder.model.conv1.0.weight", {2, 1, 1, 3}, true, Role::weight, Init::torch_default);
  timm.allocate();
  timm.initialize(1);
  model.allocate();
  const Folder folder;
  for (const std::string prefix : {"", "module.", "model.", "encoder.model."}) {
    CAPTURE(prefix);
    model.initialize(2);
    std::vector<TensorSource> tensors = tensor_sources(timm, "model");
    tensors[0].name = prefix + "conv1.0.weight";
    save_safetensors(folder / "timm.safetensors", tensors, {.hashed = false});
    load_encoder_weights(folder / "timm.safetensors", model);
    CHECK(model.file_values(model.all()[0]) == timm.file_values(timm.all()[0]));
  }
}

TEST_CASE("a full SMP model gives its encoder alone") {
  EncoderFile file;
  file.write(file.renamed("", "module."));
  Parameters model;
  add_small_model(model);
  model.initialize(9);
  const Loaded loaded = load_encoder_weights(file.path, model);
  CHECK(loaded.notes == std::vector<std::string>{"prefix 'module.' taken off 6 tensor names",
                                                 "2 tensors outside of the encoder left out",
                                                 "6 encoder tensors read"});
  file.check_encoder_equals(model);
}

TEST_CASE("the first convolution is adapted by SMP's rule") {
  EncoderFile file;
  file.write(file.renamed("encoder.", ""));
  const float* from = values(file.model, "encoder.conv1.weight");
  for (const std::int64_t channels : {1, 2, 4, 7}) {
    CAPTURE(channels);
    Parameters model;
    add_small_model(model, channels);
    const Loaded loaded = load_encoder_weights(file.path, model);
    CHECK(
        loaded.notes[0] ==
        (channels == 1
             ? "encoder.conv1.weight: 3 input channels adapted to 1 (their sum)"
             : fmt::format("encoder.conv1.weight: 3 input channels adapted to {0} (in turn, times "
                           "3/{0})",
                           channels)));
    const float* to = values(model, "encoder.conv1.weight");  // pixels x channels here
    for (int pixel = 0; pixel < 4 * 3 * 2; ++pixel)
      for (std::int64_t c = 0; c < channels; ++c) {
        const float* w = from + pixel * 3;
        const float expected =
            channels == 1 ? (w[0] + w[1]) + w[2] : w[c % 3] * static_cast<float>(3.0 / channels);
        CHECK(to[pixel * channels + c] == expected);
      }
  }
}

TEST_CASE("encoder weights of another encoder are refused by name") {
  EncoderFile file;
  std::vector<TensorSource> tensors = file.renamed("encoder.", "");
  std::erase_if(tensors, [](const TensorSource& t) { return t.name == "bn1.running_var"; });
  tensors.push_back(source("layer9.weight", {1}, {1}));
  file.write(tensors);
  Parameters model;
  add_small_model(model);
  Caught error = caught([&] { load_encoder_weights(file.path, model); });
  CHECK(error.exit == 4);
  CHECK(error.line ==
        fmt::format("error[E-state-dict] {} - its tensors are not those of this encoder: 1 missing "
                    "(encoder.bn1.running_var); 1 unexpected (layer9.weight) - none of fjord's "
                    "networks is near it; docs/encoders.md lists them",
                    file.path.string()));
  tensors = file.renamed("", "");  // a full model: what is outside of its encoder is not read
  std::erase_if(tensors, [](const TensorSource& t) { return t.name == "encoder.bn1.bias"; });
  tensors.push_back(source("bn1.bias", {4}, {1, 2, 3, 4}));
  file.write(tensors);
  error = caught([&] { load_encoder_weights(file.path, model); });
  CHECK(error.line.find("1 missing (encoder.bn1.bias)") != std::string::npos);
  Parameters wide;  // a filter of 5 channels is no RGB filter to adapt
  add_small_model(wide, 5);
  save_state_dict(file.path, wide, {});
  error = caught([&] { load_encoder_weights(file.path, model); });
  CHECK(error.line ==
        fmt::format("error[E-state-dict] {} - its tensors are not those of this encoder: 1 of "
                    "another shape (encoder.conv1.weight: file [4, 5, 3, 2], model [4, 3, 3, 2]) - "
                    "none of fjord's networks is near it; docs/encoders.md lists them",
                    file.path.string()));
}

}  // namespace fjord::test
