// The programs on the emulated card, as a user runs them: beside the CPU, without a driver, with an
// old card, with one that is lost.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "tests/tools/user.h"

using namespace fjord::test;

namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Runs a program on a machine with a driver; `card`: NAME=VALUE of described.cpp.
Outcome with_driver(const Words& args, Words card = {}) {
  const char* others = std::getenv("LD_LIBRARY_PATH");
  card.push_back(fmt::format("LD_LIBRARY_PATH={}:{}", FJORD_DRIVER, others ? others : ""));
  return run(args, {.environment = card});
}

/// Runs a program on a machine without one; where there is one, its library can't be opened.
Outcome without_driver(const Words& args) {
  static const TempFolder none;
  if (!::dlopen("libcuda.so.1", RTLD_LAZY)) return run(args);
  write_text(none / "libcuda.so.1", "");
  return run(args, {.environment = {"LD_LIBRARY_PATH=" + none.path.string()}});
}

/// Eight images of 64x64 in four batches an epoch, two epochs. The CPU's convolutions are direct
/// as the emulated card's.
Words training(const fs::path& data, const fs::path& out) {
  const Words tiny = with(with(tiny_training(data, out), "--size", "32"), "--batch", "2");
  return tiny + Words{"--encoder-depth", "3",           "--decoder-channels",
                      "16,8,8",          "--optimizer", "sgd",
                      "--exact",         "--json",      "-"};
}

/// Runs that several cases look at: by the CPU, by the card as it is, in fp32, with cuDNN's sums.
struct Runs {
  Runs() : data(tiny_data(folder.path)) {
    outcomes.push_back(run(training(data, folder / "cpu") + Words{"--device", "cpu"}));
    by_card("card", {});
    by_card("fp32", {"--precision", "fp32"});
    by_card("sums", {}, {"FJORD_CUDNN_SUMS=1"});
  }
  void by_card(const std::string& name, const Words& flags, const Words& environment = {}) {
    outcomes.push_back(
        with_driver(training(data, folder / name) + Words{"--device", "cuda"} + flags,
                    environment + Words{"FJORD_EMULATED_KERNELS=" + kernels(name).string()}));
  }
  fs::path kernels(const std::string& name) const { return folder / (name + ".kernels"); }

  TempFolder folder;
  fs::path data;
  std::vector<Outcome> outcomes;
};

const Runs& runs() {
  static const Runs only;
  return only;
}

/// The numbers of a column of a run's table.
std::vector<double> column(const fs::path& csv, const std::string& name) {
  std::istringstream lines(read_text(csv));
  std::vector<double> values;
  std::ptrdiff_t wanted = -1;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream cells(line);
    std::ptrdiff_t at = 0;
    for (std::string cell; std::getline(cells, cell, ','); ++at) {
      if (wanted < 0 && cell == name) wanted = at;
      if (at == wanted && cell != name) values.push_back(std::stod(cell));
    }
  }
  return values;
}

/// Of two runs' columns, relative to the second; not a number wins.
double worst(const std::string& found, const std::string& wanted, const std::string& table,
             const std::string& name) {
  const std::vector<double> a = column(runs().folder / found / table, name),
                            b = column(runs().folder / wanted / table, name);
  REQUIRE(a.size() == (table == "steps.csv" ? 8 : 2));
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double distance = std::fabs(a[i] - b[i]) / std::fabs(b[i]);
    if (!(distance <= largest)) largest = distance;
  }
  return largest;
}

std::string model_of(const fs::path& run) {
  return read_text(run / "checkpoints/last/model.safetensors");
}

/// |a - b| / |b| of the raw logits of an image.
double logit_distance(const fs::path& found, const fs::path& wanted) {
  const std::string a = read_text(found), b = read_text(wanted);
  REQUIRE(a.size() == 128 + 32 * 32 * sizeof(float));
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (std::size_t at = 128; at < a.size(); at += sizeof(float)) {
    float x = 0, y = 0;
    std::memcpy(&x, a.data() + at, sizeof x);
    std::memcpy(&y, b.data() + at, sizeof y);
    difference += (double{x} - y) * (double{x} - y);
    norm += double{y} * y;
  }
  return std::sqrt(difference / norm);
}

bool says(const Outcome& outcome, const std::string& text) {
  return outcome.err.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("training on a card: bf16 unless told otherwise, and said; losses are the CPU's") {
  const Outcome &cpu = runs().outcomes[0], &card = runs().outcomes[1], &fp32 = runs().outcomes[2];
  for (const Outcome* one : {&cpu, &card, &fp32}) REQUIRE_MESSAGE(one->code == 0, one->err);
  CHECK(says(card, "device: emulated card\nprecision: bf16 (the default on this card)\n"));
  CHECK(says(fp32, "device: emulated card\n"));
  CHECK(!says(fp32, "precision:"));
  CHECK(cpu.json().at("peak_gpu_mib").is_null());
  CHECK(card.json().at("peak_gpu_mib") > 1);
  for (const auto& [name, precision] : {std::pair("card", "bf16"), std::pair("fp32", "fp32")}) {
    const fs::path folder = runs().folder / name;
    const auto environment = nlohmann::json::parse(read_text(folder / "environment.json"));
    CHECK(environment.at("device") == "cuda");
    CHECK(environment.at("card") == "emulated card");
    CHECK(environment.at("precision") == precision);
    CHECK(fs::exists(folder / "checkpoints/best/model.safetensors"));
    // The loader left the augmentation to it.
    CHECK(read_text(runs().kernels(name)).find("image_kernel") != std::string::npos);
  }
  for (const auto& [name, bound] : {std::pair("fp32", 1e-4), std::pair("card", 3e-2)}) {
    CAPTURE(name);
    CHECK(worst(name, "cpu", "steps.csv", "loss") <= bound);
    CHECK(worst(name, "cpu", "metrics.csv", "train_loss") <= bound);
    CHECK(worst(name, "cpu", "metrics.csv", "val_loss") <= bound);
  }
  CHECK(worst("card", "fp32", "steps.csv", "loss") > 0);
}

TEST_CASE("with FJORD_CUDNN_SUMS=1 the library adds up, which is said and recorded") {
  const Outcome& sums = runs().outcomes[3];
  REQUIRE_MESSAGE(sums.code == 0, sums.err);
  CHECK(says(sums, "cuDNN sums up for batch normalisation where it can (FJORD_CUDNN_SUMS=1)"));
  CHECK(!says(runs().outcomes[1], "cuDNN sums up"));
  for (const auto& [name, who] :
       {std::pair("card", "hand-written"), std::pair("sums", "cuDNN's")}) {
    const auto environment =
        nlohmann::json::parse(read_text(runs().folder / name / "environment.json"));
    CHECK(environment.at("sums") == who);
    const bool launched = read_text(runs().kernels(name)).find("sums_to_") != std::string::npos;
    CHECK(launched == (name == std::string_view("sums")));
  }
  CHECK(worst("sums", "cpu", "steps.csv", "loss") <= 3e-2);
}

TEST_CASE("evaluating and predicting on a card give what the CPU gives") {
  const fs::path model = runs().folder / "cpu";
  REQUIRE(fs::exists(model));
  const auto evaluated = [&](const Words& flags) {
    const Outcome outcome = with_driver(
        Words{"fjord-evaluate", model.string(), (runs().data / "val").string(), "--json", "-"} +
        flags);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(says(outcome, "precision: bf16 (the default on this card)") ==
          (flags.size() == 2 && flags[1] == "cuda"));
    return outcome.json().at("accuracy").get<double>();
  };
  const auto predicted = [&](const std::string& name, const Words& flags) {
    const fs::path out = runs().folder / name;
    const Outcome outcome =
        with_driver(Words{"fjord-predict", model.string(), (runs().data / "val/images").string(),
                          "--output", out.string(), "--raw"} +
                    flags);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(fs::exists(out / "scene_0004.png"));
    return out / "scene_0004.npy";
  };
  const double accuracy = evaluated({"--device", "cpu", "--exact"});
  const fs::path wanted = predicted("by-cpu", {"--device", "cpu", "--exact"});
  // Of 2048 pixels one may lie at the threshold.
  CHECK(std::fabs(evaluated({"--device", "cuda", "--precision", "fp32"}) - accuracy) <= 1.5 / 2048);
  CHECK(std::fabs(evaluated({"--device", "cuda"}) - accuracy) <= 3e-2);
  CHECK(logit_distance(predicted("by-fp32", {"--device", "cuda", "--precision", "fp32"}), wanted) <=
        1e-5);
  const double rounded = logit_distance(predicted("by-card", {"--device", "cuda"}), wanted);
  CHECK(rounded <= 3e-2);
  CHECK(rounded > 1e-5);
}

TEST_CASE("a card lost in mid-run: exit 6, and what was saved is gone on with, bit for bit") {
  const fs::path out = runs().folder / "lost";
  const Words again{"fjord-train", "--out", out.string(), "--resume"};
  // Three steps of the first epoch are launched, and its validation is short of its second run;
  // the sixth launch is in the second epoch.
  const Outcome lost = with_driver(training(runs().data, out) + Words{"--device", "cuda"},
                                   {"FJORD_EMULATED_LOST=6"});
  CHECK(lost.code == 6);
  CHECK(lost.error().starts_with("error[E-cuda] CUDA: "));
  CHECK(says(lost, "the last checkpoint stands; go on with: fjord-train --out " + out.string() +
                       " --resume\n"));
  CHECK(column(out / "metrics.csv", "step").size() == 1);
  const Outcome elsewhere = without_driver(again);
  CHECK(elsewhere.code == 6);
  CHECK(elsewhere.error() ==
        "error[E-device-driver] --device cuda - this machine has no NVIDIA driver (no "
        "libcuda.so.1) - go on where the run's device (cuda) is, or start another run with --out");
  const Outcome resumed = with_driver(again);
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(says(resumed, "device: emulated card\n"));
  CHECK(says(resumed, "going on after step 4 (epoch 2)"));
  CHECK(model_of(out) == model_of(runs().folder / "card"));
  CHECK(column(out / "steps.csv", "loss") == column(runs().folder / "card/steps.csv", "loss"));
  // Nothing is left to compute, so nothing has to be there to do it.
  const Outcome finished = without_driver(again);
  CHECK(finished.code == 0);
  CHECK(says(finished, "is finished: 2 epochs, 8 steps"));
}

TEST_CASE("without a driver: --device cuda is an error, auto is the CPU and says why") {
  const fs::path model = runs().folder / "cpu", out = runs().folder / "auto";
  const std::vector<Words> programs{
      training(runs().data, out),
      {"fjord-evaluate", model.string(), (runs().data / "val").string()},
      {"fjord-predict", model.string(), (runs().data / "val/images").string(), "--output",
       (runs().folder / "auto-masks").string()}};
  for (const Words& program : programs) {
    CAPTURE(program[0]);
    const Outcome refused = without_driver(program + Words{"--device", "cuda"});
    CHECK(refused.code == 6);
    CHECK(refused.error() ==
          "error[E-device-driver] --device cuda - this machine has no NVIDIA driver (no "
          "libcuda.so.1) - install the driver of the card, or use --device cpu");
    CHECK(!fs::exists(out));
    const Words quick = program[0] == "fjord-train" ? Words{"--dry-run"} : Words{};
    const Outcome plain = without_driver(program + Words{"--isa", "plain"} + quick);
    CHECK_MESSAGE(plain.code == 0, plain.err);
    CHECK(says(plain, "device: cpu (plain, "));
    CHECK(says(plain, "; no NVIDIA driver)\n"));
    const Outcome half = without_driver(program + Words{"--isa", "plain", "--precision", "bf16"});
    CHECK(half.code == 6);
    CHECK(half.error() ==
          "error[E-device-precision] --precision bf16 - this CPU has no such "
          "arithmetic (plain) - use --precision fp32");
    const Outcome card_only = without_driver(program + Words{"--precision", "fp16"});
    CHECK(card_only.code == 2);
    CHECK(card_only.error() ==
          "error[E-not-yet] --precision fp16 - the CPU computes in fp32 and "
          "bf16 only - use --precision fp32");
  }
}

TEST_CASE("a driver that shows no card, or an old one: auto is the CPU and says why") {
  struct Machine {
    const char *status, *error;
  };
  const Words train = training(runs().data, runs().folder / "old");
  for (const auto& [status, error] :
       {Machine{"FJORD_EMULATED_STATUS=100",  // cudaErrorNoDevice
                "error[E-device-card] --device cuda - CUDA - the driver shows no card - check "
                "CUDA_VISIBLE_DEVICES and nvidia-smi, or use --device cpu"},
        Machine{"FJORD_EMULATED_SM=70",
                "error[E-device-card] --device cuda - emulated card - it is sm_70, and kernels are "
                "built from sm_75 - use --device cpu"}}) {
    const Outcome refused = with_driver(train + Words{"--device", "cuda"}, {status});
    CHECK(refused.code == 6);
    CHECK(refused.error() == error);
    const Outcome plain = with_driver(train + Words{"--dry-run"}, {status});
    CHECK(plain.code == 0);
    CHECK(says(plain, fmt::format("; CUDA cannot be used: {})\n", error)));
  }
}

TEST_CASE("an old card computes in fp32 unless told otherwise, and refuses what it has not") {
  const Words train =
      training(runs().data, runs().folder / "old") + Words{"--dry-run", "--device", "cuda"};
  const Words card{"FJORD_EMULATED_SM=75"};
  const Outcome plain = with_driver(train, card);
  CHECK_MESSAGE(plain.code == 0, plain.err);
  CHECK(says(plain, "precision: fp32 (the default on this card)"));
  for (const std::string precision : {"bf16", "tf32"}) {
    const Outcome refused = with_driver(train + Words{"--precision", precision}, card);
    CHECK(refused.code == 6);
    CHECK(refused.error() == "error[E-device-precision] --precision " + precision +
                                 " - emulated card has no such arithmetic - use --precision fp16 "
                                 "or fp32");
  }
}
