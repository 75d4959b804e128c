// fjord-evaluate and fjord-predict as a user runs them.
#include <doctest/doctest.h>

#include <fstream>

#include "data/geotiff.h"
#include "data/image.h"
#include "data/image_write.h"
#include "engine/safetensors.h"
#include "kernels/error.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

using Strings = std::vector<std::string>;

std::vector<std::string> keys_of(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

const TrainedRun& trained() { return trained_run(); }
std::string val() { return (trained().data / "val").string(); }
std::string model_file() { return (trained().run / "checkpoints/best/model.safetensors").string(); }

// The trained model with another value of its metadata, and hashes that fit.
std::string edited(const fs::path& path, const std::string& key, const std::string& value) {
  const auto file = open_tensors(model_file());
  Metadata metadata = file->metadata();
  metadata[key] = value;
  std::vector<TensorSource> tensors;
  for (const TensorEntry& entry : file->tensors())
    tensors.push_back({entry.name, entry.type, entry.shape,
                       [&file, &entry](const Sink& sink) { sink(file->read(entry)); }});
  save_safetensors(path, tensors, {.metadata = metadata});
  return path.string();
}

}  // namespace

TEST_CASE("evaluate: JSON keys, and the score that training wrote") {
  const Outcome outcome = run({"fjord-evaluate", trained().run.string(), val(), "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const auto json = outcome.json();
  CHECK(keys_of(json) == Strings{"classes", "miou", "accuracy", "mean_class_accuracy", "fwiou",
                                 "confusion", "images", "seconds"});
  CHECK(keys_of(json["classes"][0]) ==
        Strings{"name", "iou", "dice", "precision", "recall", "pixels"});
  CHECK(json["classes"][1]["name"] == "foreground");
  CHECK(json["images"] == 2);
  const auto train_json = trained().outcome.json();
  if (!json["classes"][1]["iou"].is_null())
    CHECK(json["classes"][1]["iou"].get<double>() == train_json["best_val"].get<double>());
  const Outcome table = run({"fjord-evaluate", trained().run.string(), val(), "--which", "last"});
  CHECK(table.out.find("foreground") != std::string::npos);
  CHECK(table.out.find("mIoU") != std::string::npos);
}

TEST_CASE("evaluate: every image, borders, calibration, smp.metrics; JSON and CSV") {
  const fs::path csv = trained().run / "scores.csv";
  const Outcome plain = run({"fjord-evaluate", trained().run.string(), val(), "--json", "-"});
  const Outcome outcome = run({"fjord-evaluate", trained().run.string(), val(), "--details",
                               "--csv", csv.string(), "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const auto json = outcome.json();
  CHECK(json["confusion"] == plain.json()["confusion"]);
  CHECK(json["boundary_iou"].size() == 2);
  CHECK(json["ece"].get<double>() >= 0);
  CHECK(json["ece"].get<double>() <= 1);
  CHECK(json["calibration"].size() == 15);
  CHECK(json["smp"].size() == 17);
  CHECK(json["smp"]["accuracy"]["micro"].get<double>() ==
        doctest::Approx(json["accuracy"].get<double>()));
  CHECK(json["per_image"].size() == 2);
  CHECK(keys_of(json["per_image"][0]["classes"][0]) ==
        Strings{"name", "iou", "dice", "precision", "recall", "boundary_iou", "pixels"});
  std::ifstream file(csv);
  std::string line;
  std::getline(file, line);
  CHECK(line == "image,class,iou,dice,precision,recall,boundary_iou,pixels");
  int rows = 0;
  while (std::getline(file, line)) ++rows;
  CHECK(rows == 4);
}

TEST_CASE("evaluate: --class-weights adds the weighted reductions and changes nothing else") {
  const std::string labels = (trained().data / "val/labels").string();
  const auto scored = [&](Strings more) {
    Strings command{"fjord-evaluate", trained().run.string(), val(), "--json", "-", "--details"};
    command.insert(command.end(), more.begin(), more.end());
    return run(command);
  };
  const Outcome weighted = scored({"--class-weights", "3"});
  REQUIRE_MESSAGE(weighted.code == 0, weighted.err);
  auto smp = weighted.json()["smp"];
  // One class: its weight is all there is.
  CHECK(smp["iou_score"]["weighted"] == smp["iou_score"]["macro"]);
  CHECK(smp["iou_score"]["weighted-imagewise"] == smp["iou_score"]["macro-imagewise"]);
  for (auto& score : smp) score.erase("weighted"), score.erase("weighted-imagewise");
  CHECK(smp == scored({}).json()["smp"]);
  CHECK(
      scored({"--class-weights", "1,2"}).error() ==
      "error[E-class-weights] --class-weights has 2 numbers - the scores are of 1 class - give as "
      "many as there are classes");
  CHECK(run({"fjord-evaluate", "--predictions", labels, labels, "--class-weights", "1"}).error() ==
        "error[E-conflict] --class-weights without --details - they weigh the scores of "
        "smp.metrics, which --details adds to the JSON - add --details, or leave --class-weights "
        "out");
  CHECK(scored({"--class-weights", "0"}).code == 2);
}

TEST_CASE("evaluate: at the label's own size, a bare file, another size") {
  const Outcome native =
      run({"fjord-evaluate", trained().run.string(), val(), "--score-at", "native", "--json", "-"});
  const Outcome network = run({"fjord-evaluate", trained().run.string(), val(), "--json", "-"});
  REQUIRE_MESSAGE(native.code == 0, native.err);
  // The scenes have the network's size, so both are the same pixels.
  CHECK(native.json()["confusion"] == network.json()["confusion"]);
  const Outcome bare = run({"fjord-evaluate", model_file(), val(), "--json", "-"});
  CHECK(bare.json()["confusion"] == network.json()["confusion"]);
  const Outcome smaller =
      run({"fjord-evaluate", model_file(), val(), "--size", "32", "--batch", "1", "--json", "-"});
  CHECK_MESSAGE(smaller.code == 0, smaller.err);
}

TEST_CASE("evaluate: predictions of any tool, and the seed's seven figures") {
  const std::string labels = (trained().data / "val/labels").string();
  const Outcome perfect =
      run({"fjord-evaluate", "--predictions", labels, labels, "--seed-report", "--json", "-"});
  REQUIRE_MESSAGE(perfect.code == 0, perfect.err);
  CHECK(perfect.json()["miou"] == 1.0);
  CHECK(perfect.json()["seed_report"]["acc"] == 1.0);
  const TempFolder folder;
  CHECK(run({"fjord-predict", trained().run.string(), val() + "/images", "--output",
             folder.path.string()})
            .code == 0);
  const Outcome scored =
      run({"fjord-evaluate", "--predictions", folder.path.string(), labels, "--json", "-"});
  const Outcome direct = run({"fjord-evaluate", trained().run.string(), val(), "--json", "-"});
  CHECK(scored.json()["confusion"] == direct.json()["confusion"]);
  const Outcome wrong = run({"fjord-evaluate", "--predictions", labels});
  CHECK(wrong.code == 2);
  CHECK(wrong.error() ==
        "error[E-arguments] 0 arguments - --predictions DIR needs the folder of the true labels "
        "and nothing else - fjord-evaluate --predictions DIR LABELS");
}

TEST_CASE("predict: masks, raw logits, probabilities and overlays") {
  const TempFolder folder;
  const Outcome outcome =
      run({"fjord-predict", trained().run.string(), val() + "/images", "--output",
           (folder / "masks").string(), "--raw", "--probabilities", "--overlay", "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(keys_of(outcome.json()) == Strings{"images", "output", "seconds"});
  int masks = 0;
  for (const auto& image : fs::directory_iterator(val() + "/images")) {
    const std::string stem = (folder / "masks" / image.path().stem().string()).string();
    const Image mask = read_image(stem + ".png", {.purpose = Purpose::label});
    CHECK(mask.width == 64);
    CHECK(mask.bands == 1);
    for (const std::uint8_t value : mask.as<std::uint8_t>()) REQUIRE((value == 0 || value == 255));
    CHECK(read_text(stem + ".npy").size() == 128 + 64 * 64 * 4);
    CHECK(read_image(stem + "_probabilities.tif").dtype == DType::f32);
    CHECK(read_image(stem + "_overlay.png").bands == 3);
    ++masks;
  }
  CHECK(masks == 2);
}

TEST_CASE("predict: the same model twice is the model, by logits and by probabilities") {
  const TempFolder folder;
  const std::string image = fs::directory_iterator(val() + "/images")->path().string();
  const std::string stem = fs::path(image).stem().string();
  run({"fjord-predict", model_file(), image, "--output", (folder / "one").string()});
  for (const char* average : {"logits", "probabilities"}) {
    const Outcome two =
        run({"fjord-predict", "--model", model_file(), "--model", trained().run.string(), image,
             "--average", average, "--output", (folder / average).string()});
    REQUIRE_MESSAGE(two.code == 0, two.err);
    CHECK(read_text(folder / average / (stem + ".png")) ==
          read_text(folder / "one" / (stem + ".png")));
  }
}

TEST_CASE("predict: another size of image, and the threshold's ends") {
  const TempFolder folder;
  Image image = make_image(37, 91, 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * 7);
  write_png(folder / "odd.png", image);
  const Outcome high = run({"fjord-predict", trained().run.string(), (folder / "odd.png").string(),
                            "--output", (folder / "m").string(), "--threshold", "0.999999"});
  REQUIRE_MESSAGE(high.code == 0, high.err);
  const Image mask = read_image(folder / "m/odd.png", {.purpose = Purpose::label});
  CHECK(mask.width == 91);
  CHECK(mask.height == 37);
  CHECK(high.err.find("the output is constant (class 0)") != std::string::npos);
}

TEST_CASE("predict: what cannot be done is said, and nothing is left half done") {
  const TempFolder folder;
  const std::string out = (folder / "m").string();
  auto error = [](const Strings& args, int code) {
    const Outcome outcome = run(args);
    CHECK_MESSAGE(outcome.code == code, outcome.err);
    return outcome.error();
  };
  CHECK(error({"fjord-predict", trained().run.string(), "--output", out}, 2) ==
        "error[E-missing-argument] IMAGE - fjord-predict needs a model and images - fjord-predict "
        "MODEL IMAGE... --output DIR");
  CHECK(error({"fjord-predict", "/nowhere", val() + "/images", "--output", out}, 2) ==
        "error[E-no-model] /nowhere - there is no such file or folder - name a run folder, a "
        "checkpoint folder or a .safetensors file");
  CHECK(error({"fjord-predict", trained().run.string(), "/nowhere/*.png", "--output", out}, 3) ==
        "error[E-no-images] /nowhere/*.png - there is no such file, folder or match - name image "
        "files, folders of them, or a pattern in quotes");
  CHECK(error({"fjord-predict", trained().run.string(), val() + "/images", val() + "/images",
               "--output", out},
              2)
            .starts_with("error[E-same-name] "));
  CHECK(
      error({"fjord-predict", trained().run.string(), val() + "/images", "--output", out, "--tta"},
            2)
          .starts_with("error[E-not-yet] --tta"));
  write_text(folder / "bad.png", "<html>");
  CHECK(error({"fjord-predict", trained().run.string(), (folder / "bad.png").string(), "--output",
               out},
              3)
            .starts_with("error[E-"));
  CHECK(fs::is_empty(out));
}

TEST_CASE("predict: images and labels are not replaced by masks") {
  const TempFolder folder;
  fs::copy(val(), folder / "val", fs::copy_options::recursive);
  const fs::path images = folder / "val/images", labels = folder / "val/labels";
  const std::string name = fs::directory_iterator(images)->path().filename().string();
  const std::string image = read_text(images / name), label = read_text(labels / name);
  for (const auto& [output, what] : {std::pair{images, "images"}, {labels, "images' labels"}}) {
    const Outcome outcome = run({"fjord-predict", trained().run.string(), (images / name).string(),
                                 "--output", output.string()});
    CHECK(outcome.code == 2);
    CHECK(outcome.error() == "error[E-output-folder] --output " + output.string() + " - the " +
                                 what + " are there, and results could replace them - give " +
                                 "another folder with --output");
  }
  CHECK(read_text(images / name) == image);
  CHECK(read_text(labels / name) == label);
}

TEST_CASE("models: a flag that says otherwise than the model is refused") {
  const TempFolder folder;
  const std::string run_folder = trained().run.string();
  const Outcome predict = run({"fjord-predict", run_folder, val() + "/images", "--output",
                               (folder / "m").string(), "--encoder", "resnet34"});
  CHECK(predict.code == 2);
  CHECK(predict.error() == "error[E-model-conflict] --encoder resnet34 - " + run_folder +
                               "/checkpoints/best/model.safetensors says resnet18 - leave it out");
  const Outcome evaluate = run({"fjord-evaluate", run_folder, val(), "--classes", "3"});
  CHECK(evaluate.code == 2);
  CHECK(evaluate.error() == "error[E-model-conflict] --classes 3 - " + run_folder +
                                "/checkpoints/best/model.safetensors says 1 - leave it out");
  CHECK(run({"fjord-evaluate", run_folder, val(), "--encoder", "resnet18"}).code == 0);
}

TEST_CASE("predict: a GeoTIFF's mask keeps its place, and labels their values") {
  const TempFolder folder;
  const fs::path data = tiny_data(folder.path, 6, 4);
  const Outcome training =
      run(tiny_training(data, folder / "run") +
          Strings{"--classes", "6", "--steps", "2", "--labels", "0:0,1:1,2:2,3:3,4:4,5:5"});
  REQUIRE_MESSAGE(training.code == 0, training.err);
  const fs::path image = fs::directory_iterator(data / "val/images")->path();
  const Image pixels = read_image(image, {.keep_alpha = true});
  GeoTags geo;
  const double scale[3] = {0.5, 0.5, 0};
  geo.tags.push_back({33550, 12, 3, {}});
  geo.tags.back().bytes.assign(reinterpret_cast<const std::byte*>(scale),
                               reinterpret_cast<const std::byte*>(scale) + sizeof scale);
  write_tiff(folder / "place.tif", pixels, &geo);
  const Outcome outcome =
      run({"fjord-predict", (folder / "run").string(), (folder / "place.tif").string(), "--output",
           (folder / "m").string()});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const GeoTags kept = read_geotags(folder / "m/place.tif");
  REQUIRE(kept.find(33550));
  CHECK(*kept.find(33550) == geo.tags[0]);
  const Image mask = read_image(folder / "m/place.tif", {.purpose = Purpose::label});
  for (const std::uint8_t value : mask.as<std::uint8_t>()) REQUIRE(value < 6);
}

TEST_CASE("evaluate and predict: a normalisation of another number of channels is refused") {
  const TempFolder folder;
  for (const std::string values : {"[0.5]", "[0.5,0.5,0.5,0.5,0.5]"}) {
    const std::string model =
        edited(folder / "m.safetensors", "fjord.normalize",
               R"({"kind":"seed","range":255,"mean":)" + values + R"(,"std":)" + values + "}");
    for (const Outcome& outcome :
         {run({"fjord-evaluate", model, val()}),
          run({"fjord-predict", model, val() + "/images", "--output", folder.path.string()})}) {
      CHECK(outcome.code == static_cast<int>(ExitCode::model_file));
      CHECK_MESSAGE(outcome.err.find("the model reads 3 - use --normalize") != std::string::npos,
                    outcome.err);
    }
  }
}
