// fjord-inspect, fjord-data and fjord-bench as a user runs them.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>

#include "data/image.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

using Strings = std::vector<std::string>;

Strings keys_of(const nlohmann::ordered_json& json) {
  Strings keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

}  // namespace

TEST_CASE("data: a drawn set is sound and the same for the same seed") {
  const TempFolder folder;
  for (const char* name : {"a", "b"}) {
    const Outcome drawn = run({"fjord-data", "synth", (folder / name).string(), "--images", "10",
                               "--size", "64", "--json", "-"});
    REQUIRE_MESSAGE(drawn.code == 0, drawn.err);
    CHECK(drawn.json()["train"] == 8);
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder / "a"))
    if (entry.is_regular_file())
      CHECK(read_text(entry.path()) ==
            read_text(folder / "b" / fs::relative(entry.path(), folder / "a")));
  const Outcome check = run({"fjord-data", "check", (folder / "a").string(), "--json", "-"});
  CHECK_MESSAGE(check.code == 0, check.err);
  CHECK(check.json()["errors"] == 0);
  const Outcome again = run({"fjord-data", "synth", (folder / "a").string(), "--size", "64"});
  CHECK(again.code == 2);
}

TEST_CASE("data: the doctor finds what is planted, and inspect is the doctor too") {
  const TempFolder folder;
  const fs::path data = tiny_data(folder.path);
  fs::remove(fs::directory_iterator(data / "train/images")->path());
  write_text(fs::directory_iterator(data / "val/labels")->path(), "no png");
  for (const Strings& args : {Strings{"fjord-data", "check", data.string(), "--json", "-"},
                              Strings{"fjord-inspect", data.string(), "--json", "-"}}) {
    const Outcome outcome = run(args);
    CHECK(outcome.code == 3);
    CHECK(outcome.json()["errors"].get<int>() >= 2);
  }
}

TEST_CASE("data: statistics and the class chart") {
  const TempFolder folder;
  const fs::path data = tiny_data(folder.path, 6, 4);
  const Outcome stats = run({"fjord-data", "stats", data.string(), "--classes", "6", "--chart",
                             (folder / "chart.png").string(), "--json", "-"});
  REQUIRE_MESSAGE(stats.code == 0, stats.err);
  CHECK(stats.json()["train"]["mean"].size() == 4);
  CHECK(stats.json()["train"]["class_pixels"].size() == 7);
  CHECK(read_image(folder / "chart.png").width == 900);
}

TEST_CASE("inspect: image, model, run") {
  const TrainedRun& trained = trained_run();
  const fs::path image = fs::directory_iterator(trained.data / "val/images")->path();
  const Outcome picture = run({"fjord-inspect", image.string(), "--json", "-"});
  REQUIRE_MESSAGE(picture.code == 0, picture.err);
  CHECK(picture.json()["width"] == 64);
  CHECK(picture.json()["statistics"].size() == 3);
  const Outcome model =
      run({"fjord-inspect", (trained.run / "checkpoints/best").string(), "--json", "-"});
  REQUIRE_MESSAGE(model.code == 0, model.err);
  CHECK(model.json()["metadata"].contains("fjord.normalize"));
  CHECK(model.json()["hash"].get<std::string>().starts_with("xxh3-128:"));
  const Outcome table = run({"fjord-inspect", trained.run.string()});
  CHECK_MESSAGE(table.code == 0, table.err);
  CHECK(table.out.find("encoder = \"resnet18\"") != std::string::npos);
}

TEST_CASE("inspect: a file of torch.save is a case for fjord-import, another zip is not") {
  const TempFolder folder;
  const std::string archive = "PK\3\4" + std::string(26, '\0') + "a/data.pkl";
  const std::string pickle("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
  const auto said = [&](const char* name, const std::string& bytes) {
    const std::string path = (folder / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    const Outcome outcome = run({"fjord-inspect", path});
    CHECK(outcome.code != 0);
    return outcome.error();
  };
  for (const auto& [name, bytes] : {std::pair{"x.pth", archive},
                                    {"x.bin", archive},
                                    {"x.pt", pickle},
                                    {"old", pickle},
                                    {"x.safetensors", archive},
                                    {"cut.pth", archive.substr(0, 8)}}) {
    const std::string path = (folder / name).string();
    CHECK(said(name, bytes) ==
          fmt::format("error[E-torch-file] {} - it is a file of torch.save - fjord-import {} "
                      "model.safetensors, and name that",
                      path, path));
  }
  const std::string other = archive.substr(0, 30) + "photos/1.jpg" + std::string(300, '\0');
  CHECK(said("photos.zip", other).find("it is a ZIP archive") != std::string::npos);
  const std::string tar = std::string(257, 'x') + "ustar" + std::string(250, '\0');
  CHECK(said("photos.tar", tar).find("E-torch-file") == std::string::npos);
}

TEST_CASE("inspect: a network's plan before anything is trained") {
  const Strings args = {
      "fjord-inspect", "--arch", "unet",   "--encoder", "resnet18", "--size", "64",
      "--batch",       "2",      "--json", "-"};
  const Outcome train = run(args + Strings{"--train"}), infer = run(args + Strings{"--infer"});
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(train.json()["parameters"] == 14328209);  // smp.Unet("resnet18")
  CHECK(infer.json()["planned_mib"].get<double>() < train.json()["planned_mib"].get<double>());
  CHECK(run({"fjord-inspect"}).code == 2);
}

TEST_CASE("bench: JSON keys of the contract for each kind of work") {
  for (const char* what : {"train", "infer", "conv", "load"}) {
    const TempFolder folder;
    const std::string file = (folder / "b.json").string();
    const Outcome outcome = run({"fjord-bench", what, "--encoder", "resnet18", "--size", "64",
                                 "--batch", "2", "--steps", "1", "--warmup", "1", "--json", file});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const auto json = nlohmann::ordered_json::parse(read_text(file));
    Strings keys{"what",           "model",        "size",       "batch",  "device",
                 "threads",        "precision",    "median_ms",  "min_ms", "images_per_s",
                 "first_result_s", "peak_rss_mib", "planned_mib"};
    if (json["what"] == "conv") keys.insert(keys.end(), {"peak_gflop_s", "layers"});
    CHECK(keys_of(json) == keys);
    CHECK(json["median_ms"].get<double>() > 0);
  }
  const Outcome profile = run({"fjord-bench", "train", "--encoder", "resnet18", "--size", "64",
                               "--batch", "2", "--steps", "1", "--profile"});
  CHECK(profile.code == 0);
  const auto line = profile.out.find(" MiB read and written by the steps");
  REQUIRE_MESSAGE(line != std::string::npos, profile.out);
  const double moved = std::stod(profile.out.substr(profile.out.rfind('\n', line) + 1));
  const double least = std::stod(profile.out.substr(profile.out.find(';', line) + 1));
  CHECK(least > 0);
  CHECK(moved > least);
}

TEST_CASE("bench and inspect: --memory low plans a smaller step") {
  for (const Strings& program :
       {Strings{"fjord-bench", "train", "--steps", "1"}, Strings{"fjord-inspect", "--train"},
        Strings{"fjord-bench", "train", "--predict", "--device", "cuda"}}) {
    const auto planned = [&](const char* memory) {
      const Outcome outcome =
          run(program + Strings{"--encoder", "resnet18", "--size", "128", "--batch", "2",
                                "--memory", memory, "--json", "-"});
      REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
      return outcome.json()["planned_mib"].get<double>();
    };
    CHECK(planned("low") < planned("normal"));
  }
}

namespace {

/// An environment whose Python answers as the peers' scripts do, and a folder of those.
struct FakePeers {
  FakePeers() {
    fs::create_directories(folder / "V/bin");
    fs::create_directories(folder / "scripts");
    const fs::path python = folder / "V/bin/python";
    write_text(python,
               "#!/bin/sh\n"
               "case \"$*\" in\n"
               "  *openvino*) echo 'no module named openvino' >&2; exit 1 ;;\n"
               "  *conv_layers.py*)\n"
               "    for last; do :; done\n"
               "    n=$(grep -o '\"pass\"' \"$last\" | wc -l)\n"
               "    echo \"{\\\"median_ms\\\": 9, \\\"peak_rss_mib\\\": 7,\"\\\n"
               "      \"\\\"layers_ms\\\": [$(seq -s, $n)]}\" ;;\n"
               "  *) echo warming up; echo '{\"median_ms\": 1e6, \"peak_rss_mib\": 1}' ;;\n"
               "esac\n");
    fs::permissions(python, fs::perms::owner_all);
    for (const char* script : {"train_step.py", "infer.py", "conv_layers.py"})
      write_text(folder / "scripts" / script, "");
  }
  Outcome bench(const Strings& more) const {
    return run(Strings{"fjord-bench"} + more +
                   Strings{"--encoder", "resnet18", "--size", "64", "--batch", "2", "--steps", "1",
                           "--warmup", "0", "--turns", "2"},
               {.environment = {"FJORD_PEERS="}});
  }
  Outcome compare(const Strings& more) const {
    return bench(more + Strings{"--peers", (folder / "V").string(), "--peers-dir",
                                (folder / "scripts").string()});
  }
  TempFolder folder;
};

}  // namespace

TEST_CASE("bench --peers: the same work in turns, ratios of medians, and who cannot run") {
  const FakePeers peers;
  const Outcome outcome = peers.compare({"infer", "--peer", "onnxruntime", "--peer", "openvino"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.err.find("turn 2 of 2") != std::string::npos);
  CHECK(outcome.out.find("| onnxruntime | ") != std::string::npos);
  CHECK(outcome.out.find("1000000 ms (1000000 to 1000000)") != std::string::npos);
  CHECK(outcome.out.find("| openvino | skipped: no module named openvino |") != std::string::npos);
  const auto json = peers.compare({"train", "--peer", "pytorch", "--json", "-"}).json();
  CHECK(json["turns"] == 2);
  CHECK(json["fjord"]["median_ms"].get<double>() > 0);
  CHECK(json["peers"][0]["median_ms"] == 1e6);
}

TEST_CASE("bench conv --peers: a column for PyTorch in the table of layers") {
  const FakePeers peers;
  const Outcome outcome = peers.compare({"conv", "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const auto layers = outcome.json()["layers"];
  REQUIRE(layers.size() > 30);
  int number = 0;
  for (const auto& layer : layers) {
    CHECK(layer["pytorch_ms"] == ++number);
    CHECK(layer["ms"].get<double>() > 0);
    CHECK(layer["direct_ms"].get<double>() > 0);
    const auto x = layer["x"], weight = layer["weight"];
    CHECK(x[3] == weight[3].get<int>() * layer["groups"].get<int>());
  }
  for (const char* pass : {"forward", "backward_data", "backward_filter"})
    CHECK(std::ranges::any_of(layers, [&](const auto& layer) { return layer["pass"] == pass; }));
}

TEST_CASE("bench conv and inspect: transposed convolutions have their rows") {
  const Outcome outcome = run({"fjord-bench", "conv", "--arch", "linknet", "--encoder", "resnet18",
                               "--size", "64", "--batch", "1", "--steps", "1", "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const auto layers = outcome.json()["layers"];
  Strings passes;
  for (const auto& layer : layers)
    if (layer["transposed"]) passes.push_back(layer["pass"]);
  for (const char* pass : {"forward", "backward_data", "backward_filter"})
    CHECK(std::ranges::count(passes, pass) == 5);  // a block each
  const Outcome plan = run({"fjord-inspect", "--arch", "linknet", "--encoder", "resnet18"});
  REQUIRE_MESSAGE(plan.code == 0, plan.err);
  CHECK(plan.out.find("decoder.blocks.0.block.1.0. ") != std::string::npos);
}

TEST_CASE("bench conv is the CPU's alone") {
  const Outcome card = run({"fjord-bench", "conv", "--device", "cuda"});
  CHECK(card.code == 2);
  CHECK(card.error() ==
        "error[E-flag-value] --device cuda - conv compares what the CPU can choose from, where a "
        "card has one choice - fjord-bench kernels --device cuda, or conv --device cpu");
}

TEST_CASE("bench --peers refuses what cannot be compared") {
  const FakePeers peers;
  const auto refused = [&](const Outcome& outcome, const std::string& text) {
    CHECK(outcome.code == 2);
    CHECK_MESSAGE(outcome.error().find(text) != std::string::npos, outcome.err);
  };
  const std::string none = (peers.folder / "none").string();
  refused(peers.bench({"train", "--peers", none}), "there is no " + none + "/bin/python");
  const std::string v = (peers.folder / "V").string();
  refused(peers.bench({"train", "--peers", v}), "it is not said where train_step.py is");
  refused(peers.bench({"train", "--peers", v, "--peers-dir", v}), "it has no train_step.py");
  refused(peers.compare({"train", "--peer", "ncnn"}), "train has the peers pytorch, pytorch-bf16");
  refused(peers.compare({"kernels"}), "train, infer and conv have peers");
  refused(peers.compare({"train", "--decoder-attention", "scse"}), "the peers build a network by");
  refused(peers.bench({"train", "--peer", "pytorch"}), "nobody is compared with");
}
