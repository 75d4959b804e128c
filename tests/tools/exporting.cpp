// fjord-export as a user runs it.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/evaluator.h"
#include "engine/state_dict.h"
#include "kernels/cpu/backend.h"
#include "models/models.h"
#include "onnx_run.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace {

std::string model_file() {
  return (trained_run().run / "checkpoints/best/model.safetensors").string();
}

float pattern(std::int64_t i) { return std::sin(0.37f * static_cast<float>(i)); }

}  // namespace

TEST_CASE(
    "export: the ONNX file computes the model's logits, at other sizes than it was recorded") {
  const TempFolder folder;
  const Outcome exported =
      run({"fjord-export", model_file(), (folder / "m.onnx").string(), "--json", "-"});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);
  CHECK(exported.json()["kind"] == "onnx");
  const onnx::ModelProto model = read_onnx(folder / "m.onnx");
  CHECK(model.opset_import(0).version() == 17);
  CHECK(metadata(model, "model_type") == "\"Segmentor\"");
  CHECK(metadata(model, "class_names") == R"({"0":"background","1":"foreground"})");
  CHECK(metadata(model, "fjord.normalize").find("mean") != std::string::npos);
  CHECK(model.graph().output(0).name() == "logits");

  const ModelOptions options{.encoder = exported.json()["encoder"]};
  const Model network = [&](Net net, Tensor image) { return build_model(net, image, options); };
  Parameters parameters;
  enable_cpu_kernels();
  declare_parameters(parameters, network, 3, 0);
  load_state_dict(model_file(), parameters);
  Arena arena;
  Evaluator evaluator(network, parameters, arena, Backend::cpu, {});
  const std::int64_t h = 32, w = 64, pixels = h * w;
  OnnxValue planes{{1, 3, h, w}, std::vector<float>(3 * pixels), {}};
  std::vector<float> image(3 * pixels);
  for (std::int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < 3; ++c)
      planes.floats[c * pixels + p] = image[p * 3 + c] = pattern(p * 3 + c);
  const float* logits = evaluator.predict({1, h, w, 3}, image.data());
  const OnnxValue found = run_onnx(model, planes);
  REQUIRE(found.shape == std::vector<std::int64_t>{1, 1, h, w});
  double difference = 0, squares = 0;
  for (std::int64_t p = 0; p < pixels; ++p) {
    difference = std::max(difference, std::fabs(double{found.floats[p]} - logits[p]));
    squares += double{logits[p]} * logits[p];
  }
  // Winograd's bound for whole networks.
  CHECK(difference <= 5e-5 * std::sqrt(squares / double(pixels)) + 1e-6);
}

TEST_CASE("export: probabilities, and the resolution for QGIS") {
  const TempFolder folder;
  const Outcome exported = run({"fjord-export", model_file(), (folder / "m.onnx").string(),
                                "--probabilities", "--resolution", "10"});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);
  const onnx::ModelProto model = read_onnx(folder / "m.onnx");
  CHECK(model.graph().output(0).name() == "probabilities");
  CHECK(model.graph().node(model.graph().node_size() - 1).op_type() == "Sigmoid");
  CHECK(metadata(model, "resolution") == "10.0");
}

TEST_CASE("export: the input as flags say it, and as QGIS's Deepness standardises x / 255") {
  const TempFolder folder;
  struct Case {
    const char *how, *range, *mean, *std;
  };
  // (x / range - 0.5) * 3.2 of the seed, x of none.
  const Case cases[] = {{"seed", "255", "[0.5,0.5,0.5]", "[0.3125,0.3125,0.3125]"},
                        {"seed", "510", "[1.0,1.0,1.0]", "[0.625,0.625,0.625]"},
                        {"unit", "510", "[0.0,0.0,0.0]", "[2.0,2.0,2.0]"},
                        {"none", "510", "[0.0,0.0,0.0]",
                         "[0.00392156862745098,0.00392156862745098,0.00392156862745098]"}};
  for (const Case& c : cases) {
    const Outcome exported = run({"fjord-export", model_file(), (folder / "m.onnx").string(),
                                  "--normalize", c.how, "--range", c.range, "--size", "96"});
    REQUIRE_MESSAGE(exported.code == 0, exported.err);
    const onnx::ModelProto model = read_onnx(folder / "m.onnx");
    CHECK(metadata(model, "standardization_mean") == c.mean);
    CHECK(metadata(model, "standardization_std") == c.std);
    CHECK(metadata(model, "tiles_size") == "96");
    CHECK(metadata(model, "fjord.normalize").find(c.how) != std::string::npos);
    CHECK(metadata(model, "fjord.input").find("96") != std::string::npos);
  }
}

TEST_CASE("export: a folder for from_pretrained and a .safetensors hold the same weights") {
  const TempFolder folder;
  for (const char* name : {"folder", "model.safetensors"}) {
    const Outcome exported = run({"fjord-export", model_file(), (folder / name).string()});
    REQUIRE_MESSAGE(exported.code == 0, exported.err);
  }
  CHECK(read_text(folder / "folder/config.json").find("\"encoder_name\"") != std::string::npos);
  CHECK(read_text(folder / "folder/model.safetensors") == read_text(folder / "model.safetensors"));
}

TEST_CASE("export: what cannot be done is refused") {
  const TempFolder folder;
  const std::string out = (folder / "m.safetensors").string();
  const Outcome flag = run({"fjord-export", model_file(), out, "--probabilities"});
  CHECK(flag.code == 2);
  CHECK(flag.err.find("--probabilities, --resolution and --class-names are of ONNX files") !=
        std::string::npos);
  const Outcome same = run({"fjord-export", model_file(), model_file()});
  CHECK(same.code == 2);
  CHECK(same.err.find("it is the model to be read") != std::string::npos);
  write_text(folder / "file", "x");
  const Outcome file = run({"fjord-export", model_file(), (folder / "file").string()});
  CHECK(file.code == 2);
  CHECK(file.err.find("name an OUT.onnx") != std::string::npos);
}

TEST_CASE("export: a folder of something else is left as it is") {
  const TempFolder folder;
  const std::string run_folder = trained_run().run.string();
  for (const std::string& out : {run_folder, run_folder + "/model.safetensors"}) {
    const Outcome into = run({"fjord-export", run_folder, out});
    CHECK(into.code == 2);
    CHECK(into.error().find("run") != std::string::npos);
  }
  CHECK_FALSE(std::filesystem::exists(trained_run().run / "model.safetensors"));

  const auto site = folder / "site", own = folder / "own";
  std::filesystem::create_directory(site);
  write_text(site / "config.json", "{}");
  const Outcome other = run({"fjord-export", model_file(), site.string()});
  CHECK(other.code == 2);
  CHECK(other.error().starts_with("error[E-not-empty]"));
  CHECK(read_text(site / "config.json") == "{}");

  std::filesystem::create_directory(own);
  write_text(own / "README.md", "mine");
  for (int again = 0; again < 2; ++again)
    CHECK(run({"fjord-export", model_file(), own.string()}).code == 0);
  CHECK(read_text(own / "README.md") == "mine");
}

TEST_CASE("export: an unknown form is refused") {
  const TempFolder folder;
  for (const char* name : {"m.ONNX", "m.pth", "m.Safetensors"}) {
    const Outcome refused = run({"fjord-export", model_file(), (folder / name).string()});
    CHECK(refused.code == 2);
    CHECK(refused.error().find("small letters") != std::string::npos);
    CHECK(refused.error().find("name an OUT.onnx, an OUT.safetensors or a folder") !=
          std::string::npos);
    CHECK_FALSE(std::filesystem::exists(folder / name));
  }
}
