// What the ONNX files of fjord-export end with, beside the engine's own values.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/evaluator.h"
#include "engine/model.h"
#include "engine/state_dict.h"
#include "models/config_names.h"
#include "onnx_run.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace {

OnnxValue drawn_image(std::int64_t h, std::int64_t w) {
  OnnxValue planes{{2, 3, h, w}, std::vector<float>(static_cast<std::size_t>(6 * h * w)), {}};
  for (std::size_t i = 0; i < planes.floats.size(); ++i)
    planes.floats[i] = std::sin(0.37f * static_cast<float>(i));
  return planes;
}

ModelOptions shallow(int classes) {
  ModelOptions options{.encoder = "resnet18", .classes = classes, .encoder_depth = 3};
  options.decoder_channels = {32, 16, 16};
  return options;
}

struct Exported {
  onnx::ModelProto model;
  std::string messages;
};
Exported exported(const ModelOptions& options, const std::vector<std::string>& flags = {}) {
  const TempFolder folder;
  const std::string out = (folder / "m.onnx").string();
  const Outcome outcome =
      run(std::vector<std::string>{"fjord-export", untrained(folder.path, options), out} + flags);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return {read_onnx(out), outcome.err};
}

// What SMP's activation makes of one pixel's logits, in double.
std::vector<double> activated(const std::string& name, std::vector<double> z) {
  double sum = 0;
  for (const double x : z) sum += std::exp(x);
  for (double& x : z)
    x = name == "sigmoid"      ? 1 / (1 + std::exp(-x))
        : name == "logsoftmax" ? x - std::log(sum)
        : name == "tanh"       ? std::tanh(x)
        : name == "clamp"      ? std::clamp(x, 0.0, 1.0)
                               : std::exp(x) / sum;
  return z;
}

}  // namespace

TEST_CASE("export: an ONNX file ends with the model's activation, over the classes") {
  constexpr int classes = 3;
  ModelOptions options = shallow(classes);
  const std::int64_t h = 8, w = 16, pixels = h * w;
  const Exported plain = exported(options);
  CHECK(plain.messages.find("activation") == std::string::npos);
  const OnnxValue logits = run_onnx(plain.model, drawn_image(h, w));
  struct Case {
    const char *name, *output;
  };
  const Case cases[] = {{"sigmoid", "probabilities"},
                        {"softmax", "probabilities"},
                        {"softmax2d", "probabilities"},
                        {"logsoftmax", "log_probabilities"},
                        {"tanh", "masks"},
                        {"clamp", "masks"}};
  for (const Case& row : cases) {
    const std::string name = row.name;
    CAPTURE(name);
    options.activation = value_of(name, kFinalActivations);
    const Exported made = exported(options);
    CHECK(made.messages.find(std::string("ends with ") + name) != std::string::npos);
    CHECK(made.model.graph().output(0).name() == row.output);
    CHECK(metadata(made.model, "fjord.model").find(std::string("\"activation\":\"") + name) !=
          std::string::npos);
    const OnnxValue found = run_onnx(made.model, drawn_image(h, w));
    REQUIRE(found.shape == logits.shape);
    double worst = 0;
    for (std::int64_t p = 0; p < 2 * pixels; ++p) {
      const auto at = [&](int c) { return (p / pixels * classes + c) * pixels + p % pixels; };
      const auto expected =
          activated(name, {logits.floats[at(0)], logits.floats[at(1)], logits.floats[at(2)]});
      for (int c = 0; c < classes; ++c)
        worst = std::max(worst, std::fabs(found.floats[at(c)] - expected[c]));
    }
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("export: the largest class, and as SMP's argmax the largest of all values") {
  ModelOptions options = shallow(3);
  const std::int64_t h = 8, w = 16, pixels = h * w;
  const OnnxValue logits = run_onnx(exported(options).model, drawn_image(h, w));
  options.activation = FinalActivation::argmax2d;
  const onnx::ModelProto classes = exported(options).model;
  CHECK(classes.graph().output(0).name() == "classes");
  CHECK(classes.graph().output(0).type().tensor_type().elem_type() == onnx::TensorProto::INT64);
  CHECK(classes.graph().output(0).type().tensor_type().shape().dim_size() == 3);
  const OnnxValue found = run_onnx(classes, drawn_image(h, w));
  REQUIRE(found.shape == std::vector<std::int64_t>{2, h, w});
  for (std::int64_t p = 0; p < 2 * pixels; ++p) {
    const auto z = [&](std::int64_t c) {
      return logits.floats[(p / pixels * 3 + c) * pixels + p % pixels];
    };
    for (std::int64_t c = 0; c < 3; ++c) CHECK(z(found.integers[p]) >= z(c));
  }
  options.activation = FinalActivation::argmax;
  const onnx::ModelProto index = exported(options).model;
  CHECK(index.graph().output(0).name() == "index");
  CHECK(index.graph().output(0).type().tensor_type().shape().dim_size() == 0);
  CHECK(logits.floats.at(run_onnx(index, drawn_image(h, w)).integers.at(0)) ==
        *std::ranges::max_element(logits.floats));
}

TEST_CASE("export: --probabilities keeps a model's own and replaces other activations") {
  ModelOptions options = shallow(3);
  const auto end = [](const Exported& made) {
    CHECK(made.model.graph().output(0).name() == "probabilities");
    return made.model.graph().node(made.model.graph().node_size() - 1).op_type();
  };
  options.activation = FinalActivation::sigmoid;
  CHECK(end(exported(options, {"--probabilities"})) == "Sigmoid");
  options.activation = FinalActivation::tanh;
  const Exported replaced = exported(options, {"--probabilities"});
  CHECK(end(replaced) == "Softmax");
  CHECK(replaced.messages.find("probabilities instead of the model's tanh") != std::string::npos);
}

TEST_CASE("export: scores of a classification head, at other sizes than it was recorded") {
  for (const Pooling pooling : {Pooling::avg, Pooling::max}) {
    ModelOptions options = shallow(1);
    options.classification = {.classes = 4, .pooling = pooling};
    const TempFolder folder;
    const std::string file = untrained(folder.path, options), out = (folder / "m.onnx").string();
    const Outcome outcome = run({"fjord-export", file, out});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(outcome.err.find("a second output, scores") != std::string::npos);
    const onnx::ModelProto model = read_onnx(out);
    REQUIRE(model.graph().output_size() == 2);
    CHECK(model.graph().output(1).name() == "scores");
    CHECK(model.graph().output(1).type().tensor_type().shape().dim(1).dim_value() == 4);

    const Model network = [&](Net net, Tensor image) {
      return build_model_and_scores(net, image, options).scores;
    };
    Parameters parameters;
    declare_parameters(parameters, network, 3, 0);
    load_state_dict(file, parameters);
    Arena arena;
    Evaluator evaluator(network, parameters, arena, Backend::cpu, {});
    // 1 x 17 pixels at the head: more windows than one, and not those of the recorded image.
    const std::int64_t h = 8, w = 136;
    const OnnxValue planes = drawn_image(h, w);
    std::vector<float> image(planes.floats.size());
    for (std::int64_t i = 0; i < std::int64_t(image.size()); ++i)
      image[i] = planes.floats[(i / (3 * h * w) * 3 + i % 3) * h * w + i / 3 % (h * w)];
    const float* scores = evaluator.predict({2, h, w, 3}, image.data());
    const OnnxValue found = run_onnx(model, planes, 1);
    REQUIRE(found.shape == std::vector<std::int64_t>{2, 4});
    for (std::size_t i = 0; i < 8; ++i)
      CHECK(found.floats[i] == doctest::Approx(scores[i]).epsilon(1e-4));

    options.classification->activation = FinalActivation::sigmoid;
    const Exported sigmoid = exported(options);
    CHECK(sigmoid.model.graph().node(sigmoid.model.graph().node_size() - 1).op_type() == "Sigmoid");
    const Exported alone = exported(options, {"--probabilities"});
    CHECK(alone.model.graph().output_size() == 1);
    CHECK(alone.messages.find("classification head left out") != std::string::npos);
  }
}

TEST_CASE("export: --class-names are the classes' in the file, one for each") {
  const Exported named = exported(shallow(3), {"--class-names", "ground, road,\"roof\""});
  CHECK(metadata(named.model, "class_names") == R"({"0":"ground","1":"road","2":"\"roof\""})");
  CHECK(metadata(exported(shallow(1), {"--class-names", "other,road"}).model, "class_names") ==
        R"({"0":"other","1":"road"})");
  const TempFolder folder;
  struct Case {
    int classes;
    const char *names, *why;
  };
  const Case cases[] = {{3, "a,b", "2 names for 3 classes - "},
                        {1, "road", "1 names for 2 classes (background and foreground) - "},
                        {3, "a,b,c,", "4 names for 3 classes - "},
                        {3, "a, ,c", "a name is empty - "},
                        {3, "a,b,a", "a name is given twice - "}};
  for (const auto& [classes, names, why] : cases) {
    const std::string model = untrained(folder.path, shallow(classes)),
                      out = (folder / "m.onnx").string();
    const Outcome refused = run({"fjord-export", model, out, "--class-names", names});
    CHECK(refused.code == 2);
    CHECK(refused.error() == std::string("error[E-class-names] --class-names ") + names + " - " +
                                 why + "name every class once, in order, with commas between");
    CHECK_FALSE(std::filesystem::exists(out));
  }
}
