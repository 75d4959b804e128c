// State_dicts: what is saved is read back bit for bit; what does not fit is refused by name.
#include "engine/state_dict.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/checkpoints/files.h"
#include "tests/checkpoints/model.h"

namespace fjord::test {

namespace {

struct Saved {
  Folder folder;
  std::filesystem::path path = folder / "model.safetensors";
  Parameters model;

  Saved() { add_small_model(model); }

  std::vector<TensorSource> sources() const { return tensor_sources(model, "model"); }
  /// The model's tensors, one replaced (or added).
  void write(TensorSource changed) const {
    std::vector<TensorSource> tensors = sources();
    std::erase_if(tensors, [&](const TensorSource& t) { return t.name == changed.name; });
    tensors.push_back(std::move(changed));
    save_safetensors(path, tensors, {.hashed = false});
  }
  Caught load() const {
    Parameters other;
    add_small_model(other);
    return caught([&] { load_state_dict(path, other); });
  }
  std::string line(std::string_view slug, std::string_view rest) const {
    return fmt::format("error[E-{}] {}{}", slug, path.string(), rest);
  }
};

std::vector<std::byte> bytes_of(const void* data, std::size_t count) {
  const auto* begin = static_cast<const std::byte*>(data);
  return {begin, begin + count};
}

}  // namespace

TEST_CASE("a state_dict is read back bit for bit, and equal weights give equal bytes") {
  Saved s;
  *static_cast<std::int64_t*>(s.model.find("encoder.bn1.num_batches_tracked")->value.data) = 7;
  const std::string hash = save_state_dict(s.path, s.model, {{"architecture", "tiny"}});
  Parameters other;
  add_small_model(other);
  other.initialize(2);
  const Loaded loaded = load_state_dict(s.path, other);
  CHECK(loaded.hash == hash);
  CHECK(state_hash(other) == hash);
  CHECK(loaded.notes.empty());
  CHECK(loaded.metadata.at("architecture") == "tiny");
  CHECK(std::memcmp(other.weights.data, s.model.weights.data, s.model.weights.bytes()) == 0);
  CHECK(*static_cast<std::int64_t*>(other.find("encoder.bn1.num_batches_tracked")->value.data) ==
        7);
  const auto again = s.folder / "again.safetensors";
  save_state_dict(again, other, {{"architecture", "tiny"}});
  CHECK(read_bytes(again) == read_bytes(s.path));
}

TEST_CASE("the file has PyTorch's order, shapes and layout") {
  Saved s;
  save_safetensors(s.path, s.sources(), {.hashed = false});
  const std::string bytes = read_bytes(s.path);
  const std::string start =
      R"({"encoder.bn1.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
      R"("encoder.bn1.bias":{"dtype":"F32","shape":[4],"data_offsets":[8,24]},)";
  CHECK(bytes.substr(8, start.size()) == start);
  CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);
  const SafetensorsFile file(s.path);
  const TensorEntry* conv = file.header().find("encoder.conv1.weight");
  REQUIRE(conv != nullptr);
  CHECK(conv->shape == std::vector<std::int64_t>{4, 3, 3, 2});
  const std::vector<float> kcrs = to_floats(conv->type, file.read(*conv));
  const float* krsc = values(s.model, "encoder.conv1.weight");
  CHECK(kcrs[((1 * 3 + 2) * 3 + 0) * 2 + 1] == krsc[((1 * 3 + 0) * 2 + 1) * 3 + 2]);
}

TEST_CASE("row 10: missing, unexpected and reshaped tensors are listed, at most ten of each") {
  Saved s;
  s.write(source("segmentation_head.0.bias", {2}, {0, 0}));
  CHECK(s.load().line ==
        s.line("state-dict",
               " - its tensors are not those of this model: 1 of another shape "
               "(segmentation_head.0.bias: file [2], model [1]) - give the --arch, --encoder, "
               "--in-channels and --classes that it was made with"));
  std::vector<TensorSource> others;
  for (int i = 0; i < 12; ++i) others.push_back(source(fmt::format("x{:02}", i), {1}, {1}));
  save_safetensors(s.path, others, {.hashed = false});
  const Caught error = s.load();
  CHECK(error.exit == 4);
  CHECK(error.line ==
        s.line("state-dict",
               " - its tensors are not those of this model: 7 missing (encoder.conv1.weight, "
               "encoder.bn1.weight, encoder.bn1.bias, encoder.bn1.running_mean, "
               "encoder.bn1.running_var, segmentation_head.0.weight, segmentation_head.0.bias); "
               "12 unexpected (x00, x01, x02, x03, x04, x05, x06, x07, x08, x09 and 2 more) - "
               "give the --arch, --encoder, --in-channels and --classes that it was made with"));
}

TEST_CASE("row 11: wrappers' prefixes are taken off once and noted") {
  Saved s;
  std::vector<TensorSource> tensors = s.sources();
  for (TensorSource& tensor : tensors) tensor.name = "module._orig_mod." + tensor.name;
  save_safetensors(s.path, tensors, {.hashed = false});
  Parameters other;
  add_small_model(other);
  const Loaded loaded = load_state_dict(s.path, other);
  CHECK(loaded.notes == std::vector<std::string>{"prefix '_orig_mod.' taken off 8 tensor names",
                                                 "prefix 'module.' taken off 8 tensor names"});
  CHECK(state_hash(other) == state_hash(s.model));
  for (TensorSource& tensor : tensors) tensor.name = "module." + tensor.name;
  save_safetensors(s.path, tensors, {.hashed = false});
  CHECK(s.load().exit == 4);
  s.write(source("module.encoder.bn1.bias", {4}, {0, 0, 0, 0}));
  CHECK(s.load().line ==
        s.line("state-dict",
               ", tensor 'module.encoder.bn1.bias' - without its prefix it is 'encoder.bn1.bias', "
               "which the file has as well - save one model to a file"));
}

TEST_CASE("num_batches_tracked may be missing and is then zero") {
  Saved s;
  std::vector<TensorSource> tensors = s.sources();
  std::erase_if(tensors, [](const TensorSource& t) { return t.type == FileType::i64; });
  save_safetensors(s.path, tensors, {.hashed = false});
  Parameters other;
  add_small_model(other);
  auto* count =
      static_cast<std::int64_t*>(other.find("encoder.bn1.num_batches_tracked")->value.data);
  *count = 5;
  load_state_dict(s.path, other);
  CHECK(*count == 0);
}

TEST_CASE("row 8: other float types are converted and noted, integers only for counters") {
  Saved s;
  const std::uint16_t half[4] = {0x3C00, 0xC000, 0x0001, 0x7BFF};
  s.write(raw_source("encoder.bn1.bias", FileType::f16, {4}, bytes_of(half, 8)));
  Parameters other;
  add_small_model(other);
  CHECK(load_state_dict(s.path, other).notes ==
        std::vector<std::string>{"1 tensors converted from F16 to F32"});
  const float* bias = values(other, "encoder.bn1.bias");
  CHECK(bias[0] == 1.0f);
  CHECK(bias[1] == -2.0f);
  CHECK(bias[2] == 0x1p-24f);
  CHECK(bias[3] == 65504.0f);

  const std::uint16_t bf16[4] = {0x3F80, 0xC000, 0, 0x4049};
  s.write(raw_source("encoder.bn1.bias", FileType::bf16, {4}, bytes_of(bf16, 8)));
  load_state_dict(s.path, other);
  CHECK(bias[3] == 3.140625f);

  const double f64[4] = {0.1, 1e-300, -2, 3};
  s.write(raw_source("encoder.bn1.bias", FileType::f64, {4}, bytes_of(f64, 32)));
  load_state_dict(s.path, other);
  CHECK(bias[0] == 0.1f);

  const std::int64_t i64[4] = {1, 2, 3, 4};
  s.write(raw_source("encoder.bn1.bias", FileType::i64, {4}, bytes_of(i64, 32)));
  CHECK(s.load().line == s.line("dtype",
                                ", tensor 'encoder.bn1.bias' - its type is I64, expected F32, F64, "
                                "F16 or BF16 - save it in that type"));
  s.write(source("encoder.bn1.num_batches_tracked", {}, {1}));
  CHECK(s.load().line == s.line("dtype",
                                ", tensor 'encoder.bn1.num_batches_tracked' - its type is F32, "
                                "expected I64 - save it in that type"));
}

TEST_CASE("row 12: values that poison a model are named by tensor, index and count") {
  Saved s;
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const auto refused = [&](TensorSource tensor, std::string_view why) {
    const std::string name = tensor.name;
    s.write(std::move(tensor));
    const Caught error = s.load();
    CHECK(error.exit == 7);
    CHECK(error.line == s.line("values", fmt::format(", tensor '{}' - {} - use another checkpoint "
                                                     "or train it again",
                                                     name, why)));
  };
  std::vector<float> conv(72, 0.5f);
  conv[19] = nan;
  conv[20] = -infinity;
  refused(source("encoder.conv1.weight", {4, 3, 3, 2}, conv),
          "value [1, 0, 0, 1] is nan; 2 of 72 values are not finite");
  refused(source("encoder.bn1.bias", {4}, {0, infinity, 0, 0}),
          "value [1] is inf; 1 of 4 values are not finite");
  refused(source("encoder.bn1.running_var", {4}, {1, 1, -0.5f, 1}),
          "value [2] is -0.5; 1 of 4 values are negative or not finite");
  refused(source("encoder.conv1.weight", {4, 3, 3, 2}, std::vector<float>(72, 0.0f)),
          "all 72 values are zero or denormal");
  refused(source("encoder.conv1.weight", {4, 3, 3, 2}, std::vector<float>(72, 1e-40f)),
          "all 72 values are zero or denormal");
  const double huge[4] = {0, 0, 0, 1e300};
  refused(raw_source("encoder.bn1.bias", FileType::f64, {4}, bytes_of(huge, 32)),
          "value [3] is inf; 1 of 4 values are not finite");
  const std::int64_t count = -3;
  refused(raw_source("encoder.bn1.num_batches_tracked", FileType::i64, {}, bytes_of(&count, 8)),
          "a count of -3");
}

TEST_CASE("a model with bad values is not saved, and the older file stays") {
  Saved s;
  save_state_dict(s.path, s.model, {});
  const std::string before = read_bytes(s.path);
  values(s.model, "encoder.bn1.weight")[2] = std::numeric_limits<float>::quiet_NaN();
  const Caught error = caught([&] { save_state_dict(s.path, s.model, {}); });
  CHECK(error.exit == 7);
  CHECK(error.line ==
        s.line("values",
               ", tensor 'encoder.bn1.weight' - value [2] is nan; 1 of 4 values are not finite - "
               "lower --lr, or train with --check to find the step that made it"));
  CHECK(read_bytes(s.path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(s.folder.path), {}) == 1);
}

TEST_CASE("more filters than are written at a time: all in order, and the bad value named") {
  const Folder folder;
  const auto path = folder / "large.safetensors";
  Parameters model;
  Parameter& p = model.get("w", {70, 3, 3, 64}, true, Role::weight, Init::torch_default);
  model.allocate();
  model.initialize(1);
  save_state_dict(path, model, {});
  const SafetensorsFile file(path);
  const std::vector<std::byte> saved = file.read(*file.header().find("w"));
  float* values = static_cast<float*>(p.value.data);
  const std::int64_t last = ((69 * 3 + 1) * 3 + 2) * 64 + 2;  // k = 69, r = 1, s = 2, c = 2
  CHECK(to_floats(FileType::f32, saved)[((69 * 64 + 2) * 3 + 1) * 3 + 2] == values[last]);
  CHECK(to_floats(FileType::f32, saved) == model.file_values(p));
  values[last] = INFINITY;
  const Caught error = caught([&] { save_state_dict(path, model, {}); });
  CHECK(error.line.find("value [69, 2, 1, 2] is inf; 1 of 40320 values are not finite") !=
        std::string::npos);
}

TEST_CASE(
    "bad values of a tensor larger than what is looked at a time: the first, and all counted") {
  const Folder folder;
  const auto path = folder / "large.safetensors";
  Parameters model;
  model.get("w", {70, 3, 3, 128}, true, Role::weight, Init::torch_default);
  model.allocate();
  std::vector<float> values(80640, 0.5f);
  const auto refused = [&](std::string_view why) {
    save_safetensors(path, {source("w", {70, 128, 3, 3}, values)}, {});
    const Caught error = caught([&] { load_state_dict(path, model, {}); });
    CHECK(error.exit == 7);
    CHECK(error.line.find(why) != std::string::npos);
  };
  values[69 * 1152 + 5 * 9 + 7] = NAN;
  refused("value [69, 5, 2, 1] is nan; 1 of 80640 values are not finite");
  values[80639] = values[65536] = INFINITY;
  refused("value [56, 113, 2, 1] is inf; 3 of 80640 values are not finite");
  values[65535] = -INFINITY;
  refused("value [56, 113, 2, 0] is -inf; 4 of 80640 values are not finite");
  std::fill(values.begin(), values.end(), 0.0f);
  refused("all 80640 values are zero or denormal");
}

TEST_CASE("row 26: every flipped bit of a saved model is found") {
  Saved s;
  save_state_dict(s.path, s.model, {{"architecture", "tiny"}});
  const std::string good = read_bytes(s.path);
  int by_hash = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
    write_bytes(s.path, bad);
    Parameters other;
    add_small_model(other);
    const Caught error = caught([&] { load_state_dict(s.path, other); });
    CAPTURE(i);
    CHECK((error.exit == 4 || error.exit == 7));
    by_hash += error.line.starts_with("error[E-hash]");
  }
  CHECK(by_hash > 300);
}

TEST_CASE("row 26: the hash, the format number and the order of the checks") {
  Saved s;
  const std::string hash = save_state_dict(s.path, s.model, {});
  std::string bytes = read_bytes(s.path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_bytes(s.path, bytes);
  const Caught error = s.load();
  CHECK(error.exit == 4);
  CHECK(error.line.starts_with(s.line("hash", " - its tensors have the hash xxh3-128:")));
  CHECK(error.line.ends_with(
      fmt::format(", the file says {}: it was damaged or edited - restore the file from a copy or "
                  "use another checkpoint",
                  hash)));
  std::memset(&bytes[bytes.size() - 4], 0xff, 4);  // NaN: values come before the hash
  write_bytes(s.path, bytes);
  CHECK(s.load().exit == 7);

  save_safetensors(s.path, s.sources(), {.metadata = {{"fjord.format", "2"}}, .hashed = false});
  CHECK(s.load().line == s.line("format",
                                " - written in format 2 by a newer fjord, this one reads up to 1 - "
                                "use that fjord"));
  save_safetensors(s.path, s.sources(), {.metadata = {{"fjord.format", "x"}}, .hashed = false});
  CHECK(s.load().line == s.line("format", " - its format number is 'x' - save the file again"));
}

}  // namespace fjord::test
