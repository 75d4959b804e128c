// fjord-train as a user runs it: what a run leaves, how it is stopped, gone on with and refused.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tools/csv.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

using Strings = std::vector<std::string>;

TEST_CASE("a run leaves what the contract says") {
  const TrainedRun& trained = trained_run();
  REQUIRE_MESSAGE(trained.outcome.code == 0, trained.outcome.err);
  for (const char* name :
       {"config.toml", "command.txt", "environment.json", "log.txt", "metrics.csv", "steps.csv",
        "checkpoints/last/model.safetensors", "checkpoints/last/training.safetensors",
        "checkpoints/best/model.safetensors", "checkpoints/best/config.json", "plots/loss.png",
        "plots/miou.png", "plots/learning_rate.png", "plots/class_iou.png", "plots/confusion.png"})
    CHECK_MESSAGE(fs::exists(trained.run / name), name);
  CHECK(read_metrics(trained.run / "metrics.csv").size() == 2);
  CHECK(read_steps(trained.run / "steps.csv").size() == 4);
  CHECK(std::distance(fs::directory_iterator(trained.run / "samples"), {}) == 2);
  const auto environment = nlohmann::json::parse(read_text(trained.run / "environment.json"));
  CHECK(environment.at("device") == "cpu");
  CHECK(environment.at("precision") == "fp32");
  const std::string isa = environment.at("isa");
  CHECK_MESSAGE((isa == "avx512" || isa == "avx2" || isa == "plain"), isa);
  const std::string& err = trained.outcome.err;
  for (const char* text : {"train: 8 pairs", "val: 2 pairs", "MiB planned", "from scratch",
                           "smp-hub/resnet18.imagenet", "device: cpu"})
    CHECK_MESSAGE(err.find(text) != std::string::npos, text);
  CHECK(err.find("MiB planned") < err.find("epoch 1/2"));
}

TEST_CASE("the result as JSON has the contract's keys, alone on stdout") {
  const auto json = trained_run().outcome.json();
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"run", "epochs", "steps", "best_epoch", "best_val",
                                         "seconds", "images_per_s", "peak_rss_mib",
                                         "peak_gpu_mib"});
  CHECK(json["epochs"] == 2);
  CHECK(json["steps"] == 4);
  CHECK(std::count(trained_run().outcome.out.begin(), trained_run().outcome.out.end(), '\n') == 1);
}

TEST_CASE("the run's config trained again gives the same bytes, for any number of threads") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome again = run({"fjord-train", "--config", (trained.run / "config.toml").string(),
                             "--out", (folder / "run").string(), "--threads", "1", "--quiet"});
  REQUIRE_MESSAGE(again.code == 0, again.err);
  CHECK(again.err.empty());
  CHECK(again.out.empty());
  CHECK(read_text(folder / "run/checkpoints/last/model.safetensors") ==
        read_text(trained.run / "checkpoints/last/model.safetensors"));
  CHECK(read_text(folder / "run/config.toml") == read_text(trained.run / "config.toml"));
}

TEST_CASE("a trained run is not overwritten, and a finished one has nothing to go on with") {
  const TrainedRun& trained = trained_run();
  const Outcome again = run(tiny_training(trained.data, trained.run));
  CHECK(again.code == 2);
  CHECK(again.error() == "error[E-run-exists] " + trained.run.string() +
                             " - holds a checkpoint, and a run is never overwritten - add --resume "
                             "to go on with it, or choose another folder with --out");
  const Outcome resumed = run({"fjord-train", "--out", trained.run.string(), "--resume"});
  CHECK(resumed.code == 0);
  CHECK(resumed.err.find("is finished: 2 epochs, 4 steps") != std::string::npos);
  const Outcome other =
      run({"fjord-train", "--out", trained.run.string(), "--resume", "--lr", "0.5"});
  CHECK(other.code == 2);
  CHECK(other.error() == "error[E-resume-conflict] --lr 0.5 - " +
                             (trained.run / "config.toml").string() +
                             " says 0.001 - leave it out to go on as before, or start another run "
                             "with --out");
}

TEST_CASE("stopped by a signal and gone on with, a run gives the same bytes") {
  const TrainedRun& trained = trained_run();
  for (const int signal : {SIGTERM, SIGINT}) {
    const TempFolder folder;
    const fs::path out = folder / "run";
    const pid_t pid = start(tiny_training(trained.data, out), {.folder = folder.path});
    REQUIRE(wait_for_file(out / "steps.csv", "\n1,"));
    ::kill(pid, signal);
    CHECK(wait_for(pid) == 75);
    const std::string err = read_text(folder / "err");
    CHECK_MESSAGE(err.find("go on with: fjord-train --out " + out.string() + " --resume") !=
                      std::string::npos,
                  err);
    const Outcome resumed = run({"fjord-train", "--out", out.string(), "--resume"});
    REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
    CHECK(read_text(out / "checkpoints/last/model.safetensors") ==
          read_text(trained.run / "checkpoints/last/model.safetensors"));
    CHECK(read_steps(out / "steps.csv").size() == 4);
    const auto rows = read_metrics(out / "metrics.csv");
    const auto whole = read_metrics(trained.run / "metrics.csv");
    REQUIRE(rows.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(rows[i].train_loss == whole[i].train_loss);
      CHECK(rows[i].val_miou == whole[i].val_miou);
    }
  }
}

TEST_CASE("SIGHUP: saved and stopped with 75, unless nohup has it ignored") {
  const TrainedRun& trained = trained_run();
  for (const auto& [handler, code] : {std::pair{SIG_DFL, 75}, {SIG_IGN, 0}}) {
    const TempFolder folder;
    const fs::path out = folder / "run";
    const auto before = ::signal(SIGHUP, handler);  // what the program starts with
    const pid_t pid = start(tiny_training(trained.data, out), {.folder = folder.path});
    ::signal(SIGHUP, before);
    REQUIRE(wait_for_file(out / "steps.csv", "\n1,"));
    ::kill(pid, SIGHUP);
    CHECK(wait_for(pid) == code);
  }
}

TEST_CASE("a second interrupt ends the program at once") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const fs::path out = folder / "run";
  // A step long enough to be interrupted twice.
  const auto args = with(tiny_training(trained.data, out), "--size", "256");
  const pid_t pid = start(args, {.folder = folder.path});
  REQUIRE(wait_for_file(out / "steps.csv"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ::kill(pid, SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ::kill(pid, SIGINT);
  const int code = wait_for(pid);
  CHECK((code == 130 || code == 75));  // 75: the step had ended in between
}

TEST_CASE("a loss that is not finite ends the run with 7 and keeps the last checkpoint") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const fs::path out = folder / "run";
  const Outcome outcome = run(tiny_training(trained.data, out) +
                              std::vector<std::string>{"--lr", "1e30", "--optimizer", "sgd"});
  CHECK(outcome.code == 7);
  CHECK(outcome.error().starts_with("error[E-diverged] "));
}

TEST_CASE("--dry-run and --check") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome dry =
      run(tiny_training(trained.data, folder / "run") + std::vector<std::string>{"--dry-run"});
  CHECK_MESSAGE(dry.code == 0, dry.err);
  CHECK_FALSE(fs::exists(folder / "run"));
  CHECK(dry.err.find("step 2: loss") != std::string::npos);
  const Outcome check = run(tiny_training(trained.data, folder / "run") +
                            std::vector<std::string>{"--check", "--steps", "1"});
  CHECK_MESSAGE(check.code == 0, check.err);
  CHECK(read_steps(folder / "run/steps.csv").size() == 1);
}

TEST_CASE("several classes and four bands train, from a model of one class and three bands") {
  const TempFolder folder;
  const fs::path data = tiny_data(folder.path, 6, 4);
  const std::string start = (trained_run().run / "checkpoints/last/model.safetensors").string();
  const Outcome outcome =
      run(tiny_training(data, folder / "run") +
          std::vector<std::string>{"--classes", "6", "--in-channels", "4", "--init", start,
                                   "--steps", "2", "--json", "-"});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.err.find("of other classes, so drawn anew: segmentation_head.0.weight, "
                         "segmentation_head.0.bias") != std::string::npos);
  CHECK(outcome.err.find("conv1.weight") != std::string::npos);  // adapted
  CHECK(outcome.err.find("normalised by stats") != std::string::npos);
  CHECK(outcome.err.find("colour augmentation is off") != std::string::npos);
  CHECK(read_text(folder / "run/config.toml").find("0.5*lovasz+0.5*softce(smooth=0.1)") !=
        std::string::npos);
  CHECK(read_metrics(folder / "run/metrics.csv").at(0).val_iou.size() == 6);
}

TEST_CASE("other ways to train run") {
  const TrainedRun& trained = trained_run();
  const std::string weights = (trained.run / "checkpoints/last/model.safetensors").string();
  for (const auto& flags : std::vector<std::vector<std::string>>{
           {"--optimizer", "sgd", "--nesterov", "--schedule", "poly", "--clip-norm", "1"},
           {"--accumulate", "2", "--schedule", "cosine", "--warmup-steps", "1"},
           {"--init", weights, "--freeze-encoder", "--schedule", "constant"},
           {"--encoder-weights", weights, "--encoder-lr", "1e-4", "--no-shuffle"},
           {"--augment", "none", "--normalize", "unit", "--monitor", "loss", "--patience", "1"},
           {"--encoder-depth", "3", "--decoder-channels", "32,16,8", "--loss", "bce"}}) {
    const TempFolder folder;
    const Outcome outcome = run(tiny_training(trained.data, folder / "run") + flags +
                                std::vector<std::string>{"--steps", "2"});
    CHECK_MESSAGE(outcome.code == 0, flags[0], ": ", outcome.err);
  }
  const TempFolder folder;
  const Outcome crops =
      run({"fjord-train", trained.data.string(), "--out", (folder / "run").string(), "--encoder",
           "resnet18", "--crop", "32", "--batch", "4", "--steps", "2"});
  CHECK_MESSAGE(crops.code == 0, crops.err);
}
