// fjord-import as a user runs it.
#include <doctest/doctest.h>

#include <array>

#include "engine/safetensors.h"
#include "tests/checkpoints/torch_bytes.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

fs::path model_file() { return trained_run().run / "checkpoints/best/model.safetensors"; }

// The tensors of a model file as torch.save would write them, under names with a prefix.
void write_torch(const fs::path& from, const fs::path& to, const std::string& prefix,
                 const std::string& only = "") {
  const SafetensorsFile file(from);
  std::vector<std::pair<std::string, std::string>> rows;
  Zip zip = torch_zip("");
  zip.entries.resize(1);
  for (const TensorEntry& tensor : file.tensors()) {
    if (!tensor.name.starts_with(only)) continue;
    pickle::Tensor t{.key = std::to_string(rows.size()),
                     .type = tensor.type == FileType::i64 ? "LongStorage" : "FloatStorage",
                     .elements = tensor.count(),
                     .sizes = tensor.shape,
                     .strides = tensor.shape};
    std::int64_t stride = 1;
    for (std::size_t i = t.sizes.size(); i-- > 0; stride *= t.sizes[i]) t.strides[i] = stride;
    rows.push_back({prefix + tensor.name.substr(only.size()), pickle::tensor(t)});
    const std::vector<std::byte> bytes = file.read(tensor);
    zip.entries.push_back({.name = "a/data/" + t.key,
                           .data = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
  }
  zip.entries[0].data = pickle::whole(pickle::dict(rows));
  write_text(to, zip.bytes());
}

}  // namespace

TEST_CASE("import: a whole model out of a .pth has the weights of the model it was saved from") {
  const TempFolder folder;
  write_torch(model_file(), folder / "model.pth", "module.");
  const std::string out = (folder / "model.safetensors").string();
  const Outcome imported =
      run({"fjord-import", (folder / "model.pth").string(), out, "--json", "-"});
  REQUIRE_MESSAGE(imported.code == 0, imported.err);
  const auto json = imported.json();
  CHECK(json["kind"] == "model");
  CHECK(json["arch"] == "unet");
  CHECK(imported.err.find("prefix 'module.' taken off") != std::string::npos);
  const Outcome before = run({"fjord-inspect", model_file().string(), "--json", "-"});
  CHECK(json["hash"] == before.json()["hash"]);
  const Outcome scored = run(
      {"fjord-evaluate", (folder / "model.pth").string(), (trained_run().data / "val").string()});
  CHECK(scored.code == 4);
  CHECK(scored.error().find("fjord-import") != std::string::npos);
  const Outcome other =
      run({"fjord-import", out, (folder / "b.safetensors").string(), "--encoder", "resnet34"});
  CHECK(other.code == 2);
  CHECK(other.error().starts_with("error[E-model-conflict] --encoder resnet34"));
  const Outcome again = run({"fjord-import", out, out});
  CHECK(again.code == 2);
  CHECK(again.error().starts_with("error[E-same-file]"));
}

TEST_CASE("import: an encoder's file starts a training with other input channels") {
  const TempFolder folder;
  write_torch(model_file(), folder / "encoder.pth", "", "encoder.");
  const std::string out = (folder / "encoder.safetensors").string();
  const Outcome imported = run({"fjord-import", (folder / "encoder.pth").string(), out,
                                "--in-channels", "4", "--json", "-"});
  REQUIRE_MESSAGE(imported.code == 0, imported.err);
  CHECK(imported.json()["kind"] == "encoder");
  CHECK(imported.json()["in_channels"] == 4);
  CHECK(imported.err.find("3 input channels adapted to 4") != std::string::npos);
  const SafetensorsFile file(out);
  CHECK(file.header().find("encoder.conv1.weight")->shape ==
        std::vector<std::int64_t>{64, 4, 7, 7});
  CHECK(file.header().find("segmentation_head.0.weight") == nullptr);
}

TEST_CASE("import: a file that would run code is refused, and so is one of another network") {
  const TempFolder folder;
  const std::string owned = (folder / "owned").string();
  write_text(folder / "evil.pth",
             torch_zip(pickle::whole(pickle::call(pickle::global("os", "system"),
                                                  {pickle::text("touch " + owned)})))
                 .bytes());
  const Outcome evil = run({"fjord-import", (folder / "evil.pth").string(), owned});
  CHECK(evil.code == 4);
  CHECK(evil.error().find("forbidden global os.system") != std::string::npos);
  CHECK_FALSE(fs::exists(owned));

  write_torch(model_file(), folder / "part.pth", "", "decoder.");
  const Outcome part = run({"fjord-import", (folder / "part.pth").string(), owned});
  CHECK(part.code == 4);
  CHECK(part.error().starts_with("error[E-state-dict]"));
  CHECK_FALSE(fs::exists(owned));
}

TEST_CASE("import: folders as hubs have them") {
  const TempFolder folder;
  const fs::path hub = folder / "resnet18.imagenet";
  write_torch(model_file(), folder / "encoder.pth", "", "encoder.");
  fs::create_directory(hub);
  REQUIRE(
      run({"fjord-import", (folder / "encoder.pth").string(), (hub / "model.safetensors").string()})
          .code == 0);
  write_text(hub / "config.json", R"({"mean": [0.485, 0.456, 0.406], "input_space": "RGB"})");
  const std::string out = (folder / "out.safetensors").string();
  const Outcome encoder = run({"fjord-import", hub.string(), out, "--json", "-"});
  REQUIRE_MESSAGE(encoder.code == 0, encoder.err);
  CHECK(encoder.json()["kind"] == "encoder");
  CHECK(encoder.json()["encoder"] == "resnet18");
  CHECK(encoder.err.find("config.json: left out, the weights are an encoder's") !=
        std::string::npos);

  const fs::path older = folder / "older";
  fs::create_directory(older);
  write_torch(model_file(), older / "pytorch_model.bin", "");
  const Outcome model = run({"fjord-import", older.string(), out, "--json", "-"});
  REQUIRE_MESSAGE(model.code == 0, model.err);
  CHECK(model.json()["kind"] == "model");
  CHECK(model.err.find("does not say how its decoder enlarges, so nearest") != std::string::npos);
  const Outcome contradicted =
      run({"fjord-import", older.string(), out, "--decoder-norm", "identity"});
  CHECK(contradicted.code == 2);
  CHECK(contradicted.error().starts_with("error[E-model-conflict] --decoder-norm identity - "));
  const Outcome scored =
      run({"fjord-evaluate", older.string(), (trained_run().data / "val").string()});
  CHECK(scored.code == 4);
  CHECK(scored.error().find("fjord-import") != std::string::npos);
}

TEST_CASE("--init takes what the file says of its network") {
  const TempFolder folder;
  const fs::path data = trained_run().data;
  const auto train = [&](const std::string& name, const std::vector<std::string>& flags) {
    return run(std::vector<std::string>{"fjord-train", data.string(), "--size", "64", "--batch",
                                        "2", "--steps", "1", "--out", (folder / name).string()} +
               flags);
  };
  const Outcome first = train(
      "first", {"--encoder", "resnet18", "--encoder-depth", "3", "--decoder-channels", "16,16,8",
                "--decoder-interpolation", "bilinear", "--decoder-norm", "identity"});
  REQUIRE_MESSAGE(first.code == 0, first.err);
  const fs::path best = folder / "first/checkpoints/best";
  for (const fs::path& start : {best, best / "model.safetensors"}) {
    const Outcome second = train("second", {"--init", start.string()});
    REQUIRE_MESSAGE(second.code == 0, second.err);
    const std::string config = read_text(folder / "second/config.toml");
    for (const char* line :
         {"encoder = \"resnet18\"", "encoder-depth = 3", "decoder-channels = [16, 16, 8]",
          "decoder-interpolation = \"bilinear\"", "decoder-norm = \"identity\""})
      CHECK_MESSAGE(config.find(line) != std::string::npos, line, " in\n", config);
    fs::remove_all(folder / "second");
  }
  const Outcome other =
      train("other", {"--init", best.string(), "--decoder-interpolation", "area"});
  CHECK(other.code == 2);
  CHECK(other.error().starts_with("error[E-model-conflict] --decoder-interpolation area - "));
  CHECK_FALSE(fs::exists(folder / "other"));
  const Outcome config = train("other", {"--init", model_file().string(), "--config",
                                         (folder / "first/config.toml").string()});
  CHECK(config.code == 2);
  CHECK(config.error().starts_with("error[E-model-conflict] --encoder-depth 3 - "));
  write_torch(model_file(), folder / "bare.pth", "");
  const Outcome bare = train("bare", {"--init", (folder / "bare.pth").string()});
  REQUIRE_MESSAGE(bare.code == 0, bare.err);
  CHECK(bare.err.find("does not say how its decoder enlarges") != std::string::npos);
  CHECK(read_text(folder / "bare/config.toml").find("encoder = \"resnet18\"") != std::string::npos);
  write_torch(model_file(), folder / "encoder.pth", "", "encoder.");
  const Outcome encoder = train("other", {"--init", (folder / "encoder.pth").string()});
  CHECK(encoder.code == 4);
  CHECK(encoder.error().ends_with("start from it by --encoder-weights"));
}
