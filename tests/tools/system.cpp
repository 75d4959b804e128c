// Disks, locales, devices: rows 74 to 76, 81, 83 and 84 of the bad-input table.
#include <doctest/doctest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user.h"

using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

using Strings = std::vector<std::string>;

// What fjord-train prints to a terminal of that many columns.
std::string on_terminal(const Strings& args, unsigned short columns, const Strings& environment) {
  winsize size{24, columns, 0, 0};
  int terminal = -1;
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, &size);
  REQUIRE_MESSAGE(pid >= 0, "no pseudo-terminal could be had: is /dev/pts mounted?");
  if (pid == 0) {
    for (const std::string& entry : environment) ::putenv(const_cast<char*>(entry.c_str()));
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    ::execv((std::string(FJORD_PROGRAMS) + "/" + args[0]).c_str(), argv.data());
    ::_exit(126);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = ::read(terminal, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  ::close(terminal);
  CHECK(wait_for(pid) == 0);
  return text;
}

// The longest of the lines shown in place.
std::size_t widest_status(const std::string& text) {
  std::size_t widest = 0;
  const std::string mark = "\r\x1b[K";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    const std::size_t begin = at + mark.size();
    const std::size_t end = std::min(text.find('\r', begin), text.find('\n', begin));
    if (text.compare(begin, 6, "epoch ") == 0 && text.compare(begin, 10, "epoch 1/2:") != 0 &&
        text.compare(begin, 10, "epoch 2/2:") != 0)
      widest = std::max(widest, std::min(end, text.size()) - begin);
  }
  return widest;
}

}  // namespace

TEST_CASE("a disk that takes no checkpoint: 5, one line, nothing half written") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome outcome = run(tiny_training(trained.data, folder / "run"),
                              {.folder = folder.path, .file_bytes = 4 << 20});
  CHECK(outcome.code == 5);
  CHECK(outcome.err.find("the checkpoint before stays") != std::string::npos);
  CHECK_MESSAGE(outcome.error().starts_with("error[E-disk-full] "), outcome.err);
  if (fs::exists(folder / "run/checkpoints")) CHECK(fs::is_empty(folder / "run/checkpoints"));
}

TEST_CASE("a disk that takes no mask") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome outcome =
      run({"fjord-predict", trained.run.string(), (trained.data / "val/images").string(),
           "--output", (folder / "m").string(), "--raw"},
          {.folder = folder.path, .file_bytes = 8192});
  CHECK(outcome.code == 5);
  CHECK(outcome.error().starts_with("error[E-disk-full] "));
  for (const auto& entry : fs::directory_iterator(folder / "m"))
    CHECK(entry.path().extension() == ".png");
}

TEST_CASE("an output that cannot be written is refused before data is read") {
  const TrainedRun& trained = trained_run();
  const Outcome outcome = run(tiny_training(trained.data, "/proc/nothing/run"));
  CHECK(outcome.code == 5);
  CHECK(outcome.error() ==
        "error[E-io] /proc/nothing/run - cannot create the folder: No such file or directory - "
        "choose a folder that can be written");
  CHECK(outcome.err.find("images:") == std::string::npos);
}

TEST_CASE("no home, no temporary folder, no writable working folder: a run needs none") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome outcome = run(tiny_training(trained.data, folder / "run") + Strings{"--steps", "1"},
                              {.folder = folder.path, .environment = {"HOME=", "TMPDIR=/nowhere"}});
  CHECK_MESSAGE(outcome.code == 0, outcome.err);
}

TEST_CASE("other locales and time zones change no number and no byte") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Outcome outcome =
      run(tiny_training(trained.data, folder / "run") + Strings{"--lr", "0.001"},
          {.folder = folder.path,
           .environment = {"LC_ALL=de_DE.UTF-8", "LANG=de_DE.UTF-8", "TZ=Asia/Kathmandu"}});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(read_text(folder / "run/checkpoints/last/model.safetensors") ==
        read_text(trained.run / "checkpoints/last/model.safetensors"));
  CHECK(read_text(folder / "run/config.toml").find("lr = 0.001\n") != std::string::npos);
}

TEST_CASE("a closed or full stderr neither stops a training nor hides its exit code") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  auto shell = [&](const Strings& args, const std::string& ending) {
    std::string line = "exec " FJORD_PROGRAMS "/";
    for (const std::string& arg : args) line += "'" + arg + "' ";
    return WEXITSTATUS(std::system((line + ending).c_str()));
  };
  CHECK(shell(tiny_training(trained.data, folder / "full"), "2>/dev/full") == 0);
  CHECK(shell(tiny_training(trained.data, folder / "closed"), "2>&-") == 0);
  for (const char* name : {"full", "closed"})
    CHECK(read_text(folder / name / "checkpoints/last/model.safetensors") ==
          read_text(trained.run / "checkpoints/last/model.safetensors"));
  for (const auto& entry : fs::directory_iterator(folder / "closed"))
    if (entry.is_regular_file() && entry.path().filename() != "log.txt")
      CHECK_MESSAGE(read_text(entry.path()).find("val IoU") == std::string::npos, entry.path());
  CHECK(shell({"fjord-train", "/nowhere"}, "2>/dev/full") == 3);
}

TEST_CASE("--device cuda in this build") {
  const Outcome outcome = run({"fjord-train", "d", "--device", "cuda"});
  CHECK(outcome.code == 6);
  CHECK(outcome.error() ==
        "error[E-device-build] --device cuda - this build has no CUDA backend - use --device cpu");
}

TEST_CASE("two programs in one run") {
  const TrainedRun& trained = trained_run();
  const TempFolder folder;
  const Strings slow = with(tiny_training(trained.data, folder / "run"), "--size", "256");
  const pid_t first = start(slow, {.folder = folder.path});
  REQUIRE(wait_for_file(folder / "run/steps.csv"));
  const Outcome second = run(tiny_training(trained.data, folder / "run"));
  CHECK(second.code == 5);
  CHECK(second.error().starts_with("error[E-run-locked] " + (folder / "run").string() +
                                   " - is already used by pid " + std::to_string(first) + " on "));
  ::kill(first, SIGKILL);
  CHECK(wait_for(first) == 137);
}

TEST_CASE("terminals: in place and within 40 columns, plain where that is asked for") {
  const TrainedRun& trained = trained_run();
  for (const unsigned short columns : {40, 100}) {
    const TempFolder folder;
    const std::string text =
        on_terminal(tiny_training(trained.data, folder / "run"), columns, {"TERM=xterm"});
    CHECK(text.find("\r\x1b[Kepoch 1/2") != std::string::npos);
    CHECK(widest_status(text) < columns);
  }
  for (const char* plain : {"TERM=dumb", "NO_COLOR=1"}) {
    const TempFolder folder;
    const std::string text =
        on_terminal(tiny_training(trained.data, folder / "run"), 80, {"TERM=xterm", plain});
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("epoch 2/2: train loss") != std::string::npos);
  }
}
