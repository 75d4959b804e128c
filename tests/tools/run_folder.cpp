// Run folders: numbering, --out, --resume, locks (rows 27, 62, 75 and 81 of the bad-input table).
#include "tools/run_folder.h"

#include <doctest/doctest.h>

#include "kernels/error.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

struct WorkingFolder {
  explicit WorkingFolder(const fs::path& path) : before(fs::current_path()) {
    fs::current_path(path);
  }
  ~WorkingFolder() { fs::current_path(before); }
  fs::path before;
};

RunRequest numbered() {
  return {.out = "", .resume = false, .data = "some/set/", .arch = "unet", .encoder = "resnet18"};
}

std::string refusal(const RunRequest& request, ExitCode exit = ExitCode::usage) {
  try {
    RunFolder::open(request);
  } catch (const Error& error) {
    CHECK(error.exit == exit);
    return error.what();
  }
  return "accepted";
}

void fake_checkpoint(const fs::path& run) {
  fs::create_directories(run / "checkpoints" / "step-3");
  write_text(run / "checkpoints" / "step-3" / "model.safetensors", "x");
  fs::create_directory_symlink("step-3", run / "checkpoints" / "last");
}

}  // namespace

TEST_CASE("runs without --out are numbered") {
  const TempFolder folder;
  const WorkingFolder inside(folder.path);
  CHECK(RunFolder::open(numbered()).path() == "runs/set-unet-resnet18-001");
  CHECK(RunFolder::open(numbered()).path() == "runs/set-unet-resnet18-002");
  fs::create_directory("runs/set-unet-resnet18-041");
  fs::create_directory("runs/set-unet-resnet18-x99");
  CHECK(RunFolder::open(numbered()).path() == "runs/set-unet-resnet18-042");
}

TEST_CASE("--out and --resume by what the folder holds") {
  const TempFolder folder;
  const std::string out = (folder / "run").string();
  CHECK(refusal({.out = out, .resume = true}) ==
        "error[E-nothing-to-resume] " + out +
            " - holds no checkpoint to go on from - leave --resume out to start it, or name "
            "another run with --out");
  CHECK(refusal({.out = out}) == "accepted");
  CHECK(refusal({.out = out}) == "accepted");
  fake_checkpoint(out);
  CHECK(refusal({.out = out}) ==
        "error[E-run-exists] " + out +
            " - holds a checkpoint, and a run is never overwritten - add --resume to go on with "
            "it, or choose another folder with --out");
  CHECK(refusal({.out = out, .resume = true}) == "accepted");
  CHECK(
      refusal({.out = "", .resume = true}) ==
      "error[E-nothing-to-resume] --resume - does not say which run - name its folder with --out");
}

TEST_CASE("a folder of the user's own is left alone") {
  const TempFolder folder;
  write_text(folder / "metrics.csv", "mine");
  const std::string out = folder.path.string();
  CHECK(refusal({.out = out}) == "error[E-not-a-run] " + out +
                                     "/metrics.csv - would be overwritten, and the folder is not "
                                     "a run - choose another folder with --out");
  CHECK(read_text(folder / "metrics.csv") == "mine");
  write_text(folder / "file", "");
  CHECK(refusal({.out = out + "/file"}) ==
        "error[E-run-folder] " + out +
            "/file - is not a folder - choose another folder with --out");
}

TEST_CASE("a folder that cannot be written fails before anything is loaded") {
  CHECK(refusal({.out = "/proc/nothing/run"}, ExitCode::io) ==
        "error[E-io] /proc/nothing/run - cannot create the folder: No such file or directory - "
        "choose a folder that can be written");
}

TEST_CASE("two programs cannot use one run") {
  const TempFolder folder;
  const RunFolder first = RunFolder::open({.out = folder.path.string()});
  const std::string second = refusal({.out = folder.path.string()}, ExitCode::io);
  CHECK(second.starts_with("error[E-run-locked] " + folder.path.string() +
                           " - is already used by pid "));
  CHECK(second.ends_with(" - wait for it, or choose another folder with --out"));
}

TEST_CASE("a run started afresh forgets an earlier try, not the user's files") {
  const TempFolder folder;
  write_text(folder / "command.txt", "earlier");
  write_text(folder / "metrics.csv", "earlier");
  write_text(folder / "events.out.tfevents.1.host.0", "earlier");
  write_text(folder / "notes.md", "mine");
  const RunFolder run = RunFolder::open({.out = folder.path.string()});
  run.start_afresh();
  CHECK_FALSE(fs::exists(folder / "metrics.csv"));
  CHECK_FALSE(fs::exists(folder / "events.out.tfevents.1.host.0"));
  CHECK(read_text(folder / "notes.md") == "mine");
}

TEST_CASE("the command is written so that it can be pasted") {
  const TempFolder folder;
  const RunFolder run = RunFolder::open({.out = folder.path.string()});
  const std::vector<const char*> argv = {"fjord-train", "it's", "a b", "--lr", "1e-3"};
  run.write_command(static_cast<int>(argv.size()), argv.data());
  CHECK(read_text(folder / "command.txt").find("fjord-train 'it'\\''s' 'a b' --lr 1e-3\n") !=
        std::string::npos);
}
