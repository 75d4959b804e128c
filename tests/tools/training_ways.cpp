// Other ways to train, as a user asks for them: what they change, and what a stopped run keeps of
// them.
#include <doctest/doctest.h>
#include <signal.h>

#include <cmath>

#include "kernels/cpu/backend.h"
#include "tools/csv.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

using Strings = std::vector<std::string>;

namespace {

// Trains to `out`, stopped once steps.csv has `line`.
void stop(const Strings& args, const fs::path& out, const char* line) {
  const pid_t pid = start(with(args, "--out", out.string()), {.folder = out.parent_path()});
  REQUIRE(wait_for_file(out / "steps.csv", line));
  ::kill(pid, SIGTERM);
  CHECK(wait_for(pid) == 75);
}

// And then to the end.
void stop_and_resume(const Strings& args, const fs::path& out, const char* line) {
  stop(args, out, line);
  const Outcome resumed = run({"fjord-train", "--out", out.string(), "--resume"});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
}

double planned_mib(const std::string& err) {
  const auto at = err.find("memory: ");
  REQUIRE_MESSAGE(at != std::string::npos, err);
  return std::stod(err.substr(at + 8));
}

std::string last(const fs::path& run, const char* name) {
  return read_text(run / "checkpoints/last" / name);
}

}  // namespace

TEST_CASE("--memory low plans less, stays with the run, and changes no byte of the model") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const auto args = tiny_training(trained.data, folder / "low") + Strings{"--memory", "low"};
  const Outcome low = run(args);
  REQUIRE_MESSAGE(low.code == 0, low.err);
  CHECK(planned_mib(low.err) < planned_mib(trained.outcome.err));
  CHECK(last(folder / "low", "model.safetensors") == last(trained.run, "model.safetensors"));
  CHECK(read_text(folder / "low/config.toml").find("memory = \"low\"") != std::string::npos);
  const std::string log = read_text(folder / "low/log.txt");
  CHECK_MESSAGE(log.find("run again for them") != std::string::npos, log);
  stop_and_resume(args, folder / "stopped", "\n1,");
  CHECK(last(folder / "stopped", "model.safetensors") == last(trained.run, "model.safetensors"));
  CHECK(read_text(folder / "stopped/log.txt").find("run again for them") != std::string::npos);
}

TEST_CASE("a run goes on with a processor like its own alone") {
  const TempFolder folder;
  const fs::path out = folder / "run";
  stop(tiny_training(trained_run().data, out), out, "\n1,");
  std::string config = read_text(out / "config.toml");
  for (const auto& [key, value] : {std::pair{"isa", "plain"}, std::pair{"precision", "bf16"}}) {
    const std::size_t at = config.find(fmt::format("\n{} = ", key));
    REQUIRE_MESSAGE(at != std::string::npos, config);
    config.replace(at, config.find('\n', at + 1) - at, fmt::format("\n{} = \"{}\"", key, value));
  }
  write_text(out / "config.toml", config);
  const Outcome resumed = run({"fjord-train", "--out", out.string(), "--resume"});
  CHECK(resumed.code == 6);
  CHECK(resumed.error() ==
        "error[E-device-precision] --precision bf16 - this CPU has no such arithmetic (plain) - go "
        "on with a processor like the run's, or start another run with --out");
}

TEST_CASE("--ema: scores and model files are of the average, and a stopped run loses none of it") {
  const TempFolder folder;
  const auto args = tiny_training(trained_run().data, folder / "whole") + Strings{"--ema", "0.7"};
  const Outcome whole = run(args + Strings{"--json", "-"});
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(last(folder / "whole", "model.safetensors") !=
        last(trained_run().run, "model.safetensors"));
  // The steps are those of a run without.
  const auto losses = [](const fs::path& run) {
    std::vector<double> column;
    for (const auto& row : read_steps(run / "steps.csv")) column.push_back(row.loss);
    return column;
  };
  CHECK(losses(folder / "whole") == losses(trained_run().run));
  const Outcome score =
      run({"fjord-evaluate", (folder / "whole").string(), (trained_run().data / "val").string(),
           "--which", "last", "--json", "-"});
  REQUIRE_MESSAGE(score.code == 0, score.err);
  CHECK(score.json()["miou"].get<double>() ==
        doctest::Approx(read_metrics(folder / "whole/metrics.csv").back().val_miou.value())
            .epsilon(1e-5));

  const fs::path out = folder / "stopped";
  stop_and_resume(args, out, "\n1,");
  for (const char* name : {"model.safetensors", "training.safetensors"})
    CHECK(last(out, name) == last(folder / "whole", name));
}

TEST_CASE(
    "--swa-start: the run's model is an average, and a run stopped between loses none of it") {
  const TempFolder folder;
  const auto args = with(tiny_training(trained_run().data, folder / "whole"), "--epochs", "3") +
                    Strings{"--swa-start", "1", "--swa-lr", "5e-4"};
  const Outcome whole = run(args + Strings{"--json", "-"});
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(whole.err.find("the equal average of what 3 epochs ended with") != std::string::npos);
  CHECK(whole.json()["best_epoch"] == 3);
  const auto file = [](const fs::path& run, const char* name) {
    return read_text(run / "checkpoints/best" / name);
  };
  CHECK(file(folder / "whole", "model.safetensors") !=
        file(trained_run().run, "model.safetensors"));
  const auto steps = read_steps(folder / "whole/steps.csv");
  CHECK(steps[0].lr == doctest::Approx(1e-3));
  CHECK(steps[2].lr == doctest::Approx(5e-4 + 5e-4 * (1 + std::cos(std::acos(-1.0) / 10)) / 2));

  const fs::path out = folder / "stopped";
  stop_and_resume(args, out, "\n3,");  // the average has the first epoch
  for (const char* name : {"model.safetensors", "training.safetensors"})
    CHECK(file(out, name) == file(folder / "whole", name));
}

TEST_CASE("--deep-supervision: a stopped run keeps its heads, and the model file has none") {
  const TempFolder folder;
  const auto args = with(with(tiny_training(trained_run().data, folder / "whole"), "--epochs", "1"),
                         "--batch", "2") +
                    Strings{"--arch", "unetplusplus", "--deep-supervision", "0.5"};
  const Outcome whole = run(args);
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  const fs::path out = folder / "stopped";
  stop_and_resume(args, out, "\n1,");
  for (const char* name : {"model.safetensors", "training.safetensors"})
    CHECK(last(out, name) == last(folder / "whole", name));
  CHECK(last(out, "training.safetensors").find("deep_supervision.2.0.weight") != std::string::npos);
  CHECK(last(out, "model.safetensors").find("deep_supervision") == std::string::npos);
  const Outcome score =
      run({"fjord-evaluate", out.string(), (trained_run().data / "val").string()});
  CHECK_MESSAGE(score.code == 0, score.err);
}

TEST_CASE("--loss with stages: said, kept by a stopped run, and refused where it has no effect") {
  const TempFolder folder;
  const auto args = with(tiny_training(trained_run().data, folder / "whole"), "--epochs", "3") +
                    Strings{"--loss", "bce; 2: 0.5*dice+0.5*bce"};
  const Outcome whole = run(args);
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(whole.err.find("loss: bce; 2: 0.5*dice + 0.5*bce") != std::string::npos);
  const fs::path out = folder / "stopped";
  stop_and_resume(args, out, "\n3,");  // in the second epoch
  CHECK(last(out, "model.safetensors") == last(folder / "whole", "model.safetensors"));

  const Outcome late = run(with(args, "--loss", "bce; 4: dice"));
  CHECK(late.code == 2);
  CHECK(late.error() ==
        "error[E-loss] --loss \"bce; 4: dice\" - its last loss begins with epoch 4, and --epochs 3 "
        "ends before - give more --epochs, or leave that loss out");
  const Outcome monitor = run(args + Strings{"--monitor", "loss"});
  CHECK(monitor.code == 2);
  CHECK(monitor.error() ==
        "error[E-loss] --loss \"bce; 2: 0.5*dice+0.5*bce\" - --monitor loss compares epochs, and "
        "values of different losses cannot be compared - use --monitor miou, or one loss");
}

TEST_CASE("--precision bf16 trains where the CPU multiplies it, and stays with the run") {
  const TempFolder folder;
  const auto args =
      tiny_training(trained_run().data, folder / "whole") + Strings{"--precision", "bf16"};
  const Outcome plain = run(args + Strings{"--isa", "avx2"});
  CHECK(plain.code != 0);
  enable_cpu_kernels();
  if (!cpu_has_bf16()) {
    MESSAGE("skipped: this CPU does not multiply bf16");
    return;
  }
  CHECK(plain.error() ==
        "error[E-device-precision] --precision bf16 - this CPU has no such arithmetic (avx2) - use "
        "--precision fp32");
  const Outcome whole = run(args);
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  const auto environment = nlohmann::json::parse(read_text(folder / "whole/environment.json"));
  CHECK(environment.at("precision") == "bf16");
  CHECK(last(folder / "whole", "model.safetensors") !=
        last(trained_run().run, "model.safetensors"));
  // A layer's outputs are off by 1e-2 of their rms; twice that of a mean over few pixels.
  const auto first_loss = [](const fs::path& run) {
    return read_steps(run / "steps.csv").front().loss;
  };
  CHECK(first_loss(folder / "whole") ==
        doctest::Approx(first_loss(trained_run().run)).epsilon(2e-2));
  const fs::path out = folder / "stopped";
  stop_and_resume(args, out, "\n1,");
  for (const char* name : {"model.safetensors", "training.safetensors"})
    CHECK(last(out, name) == last(folder / "whole", name));
}
