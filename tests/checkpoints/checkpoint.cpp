// Checkpoints: equal bytes, what is kept, what is refused, full disks.
#include "engine/checkpoint.h"

#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <set>

#include "tests/checkpoints/files.h"
#include "tests/checkpoints/training.h"

namespace fjord::test {

namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// Writes at most `bytes` to any file while it lives, as a quota would.
struct FileSizeLimit {
  rlimit before{};

  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before); }
};

/// A folder with a saved step 1, to which both links point.
struct Run {
  Folder folder;
  fs::path checkpoints = folder / "checkpoints";
  TinyTraining training;

  Run() { save(1, {.step = 1, .best = true}); }
  fs::path save(std::int64_t step, CheckpointName name) {
    training.go_to(step);
    return save_checkpoint(checkpoints, training.checkpoint(step), name);
  }
  LoadedCheckpoint load(std::string_view which, TinyTraining& into) const {
    return load_checkpoint(checkpoints / which, into.model, into.state());
  }
  std::string file(std::string_view name) const { return (checkpoints / "last" / name).string(); }
  void check_step_1_is_intact() const {
    CHECK(names_in(checkpoints) == std::set<std::string>{"best", "last", "step-1"});
    TinyTraining other;
    CHECK(load("last", other).scalars.at("step") == "1");
    CHECK(other.is_at(1));
  }
};

}  // namespace

TEST_CASE("a checkpoint is read back, and equal training gives equal bytes") {
  Run run;
  TinyTraining other;
  const LoadedCheckpoint loaded = run.load("last", other);
  CHECK(other.is_at(1));
  CHECK(loaded.scalars == Metadata{{"step", "1"}, {"epoch", "3"}});
  CHECK(loaded.model.metadata.at("architecture") == "tiny");
  CHECK(loaded.model.metadata.at("format") == "pt");
  Folder elsewhere;
  save_checkpoint(elsewhere.path, other.checkpoint(1), {.step = 1});
  for (const char* name : {"model.safetensors", "training.safetensors", "config.json"})
    CHECK(read_bytes(run.file(name)) == read_bytes(elsewhere / "last" / name));
}

TEST_CASE("what last and best point to is kept, the rest is removed") {
  Run run;
  run.save(2, {.step = 2});
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"best", "last", "step-1", "step-2"});
  run.save(3, {.step = 3});
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"best", "last", "step-1", "step-3"});
  CHECK(fs::read_symlink(run.checkpoints / "best") == "step-1");
  CHECK(fs::read_symlink(run.checkpoints / "last") == "step-3");
  run.save(4, {.step = 4, .best = true});
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"best", "last", "step-4"});
  CHECK(run.save(4, {.step = 4}).filename() == "step-4.1");  // the step again: never in place
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"best", "last", "step-4", "step-4.1"});
}

TEST_CASE("row 81: what a killed save left is swept away") {
  Run run;
  fs::create_directories(run.checkpoints / "step-9.tmp");
  write_bytes(run.checkpoints / "step-9.tmp" / "model.safetensors.tmp.1", "half");
  fs::create_symlink("step-9", run.checkpoints / "last.tmp");
  fs::create_directories(run.checkpoints / "step-8");  // renamed, and killed before its link
  run.save(2, {.step = 2, .best = true});
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"best", "last", "step-2"});
}

TEST_CASE("row 74: a full disk keeps the old checkpoint and leaves no part of the new one") {
  Run run;
  for (const rlim_t limit : {0, 1000, 100'000}) {
    const FileSizeLimit full(limit);
    const Caught error = caught([&] { run.save(2, {.step = 2}); });
    CHECK(error.exit == 5);
    const char* name = limit < 1000 + 1 ? "model" : "training";
    CHECK(error.line ==
          fmt::format("error[E-disk-full] {}/step-2.tmp/{}.safetensors - writing failed: File too "
                      "large - free some space (or raise the quota or file size limit) and run the "
                      "command again",
                      run.checkpoints.string(), name));
  }
  run.check_step_1_is_intact();
  run.save(2, {.step = 2});
  CHECK(fs::read_symlink(run.checkpoints / "last") == "step-2");
}

TEST_CASE(
    "row 74: a link that cannot be replaced leaves the old one and no folder nobody points to") {
  Run run;
  fs::remove(run.checkpoints / "best");
  fs::create_directories(run.checkpoints / "best" / "in-the-way");
  const Caught error = caught([&] { run.save(2, {.step = 2, .last = false, .best = true}); });
  CHECK(error.exit == 5);
  CHECK(error.line == fmt::format("error[E-write] {}/best - Is a directory - check that the folder "
                                  "exists and may be written to",
                                  run.checkpoints.string()));
  fs::remove_all(run.checkpoints / "best");
  CHECK(names_in(run.checkpoints) == std::set<std::string>{"last", "step-1"});
}

TEST_CASE("row 74: space is asked for before anything is written") {
  Folder folder;
  demand_space(folder.path, 1);
  const Caught error = caught([&] { demand_space(folder.path, std::uint64_t{1} << 62); });
  CHECK(error.exit == 5);
  CHECK(error.line.starts_with(fmt::format("error[E-disk-full] {} - ", folder.path.string())));
  CHECK(error.line.ends_with(
      " MiB are free, a checkpoint needs 5277655813324.8 - free some space, or give an --out on "
      "another disk"));
}

TEST_CASE("a folder that cannot be made is an I/O error") {
  Folder folder;
  write_bytes(folder / "file", "");
  TinyTraining training;
  const Caught error = caught(
      [&] { save_checkpoint(folder / "file/checkpoints", training.checkpoint(0), {.step = 0}); });
  CHECK(error.exit == 5);
  CHECK(error.line == fmt::format("error[E-write] {}/file/checkpoints - Not a directory - check "
                                  "that the folder exists and may be written to",
                                  folder.path.string()));
}

TEST_CASE("values that are not finite are not saved") {
  Run run;
  run.training.go_to(2);
  run.training.second[7] = std::nanf("");
  const Caught error =
      caught([&] { save_checkpoint(run.checkpoints, run.training.checkpoint(2), {.step = 2}); });
  CHECK(error.exit == 7);
  CHECK(error.line ==
        fmt::format("error[E-values] {}/step-2.tmp/training.safetensors, tensor 'optimizer.v' - 1 "
                    "of 40000 values are not finite - lower --lr, or train with --check to find "
                    "the step that made them",
                    run.checkpoints.string()));
  run.check_step_1_is_intact();
}

TEST_CASE("row 26: training state of another run or another model is refused") {
  Run run;
  const auto refused = [&](TinyTraining& into, const std::vector<NamedBuffer>& state,
                           std::string_view rest) {
    const Caught error =
        caught([&] { load_checkpoint(run.checkpoints / "last", into.model, state); });
    CHECK(error.exit == 4);
    CHECK(error.line == fmt::format("error[E-checkpoint] {}{} - resume with the fjord and the "
                                    "flags that wrote it",
                                    run.file("training.safetensors"), rest));
  };
  TinyTraining small(10), same;
  refused(small, small.state(),
          ", tensor 'optimizer.m' - it is F32 [40000], this run has F32 [10]");
  refused(same, {{"ema", &same.first_moment}}, ", tensor 'ema' - it is missing");
  refused(same, {same.state()[0]}, ", tensor 'optimizer.v' - this run has no such state");
  run.training.go_to(2);
  save_state_dict(run.file("model.safetensors"), run.training.model, {});
  refused(same, same.state(), " - it belongs to another model.safetensors");
}

TEST_CASE("row 26: every damaged byte of the training state is found") {
  Run run;
  const std::string path = run.file("training.safetensors"), good = read_bytes(path);
  TinyTraining other;
  for (std::size_t i = 0; i < good.size(); i += i < 800 ? 1 : 29'927) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << i % 8));
    write_bytes(path, bad);
    CAPTURE(i);
    const int exit = caught([&] { run.load("last", other); }).exit;
    CHECK((exit == 4 || exit == 7));
  }
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, good.size() / 2, good.size() - 1}) {
    write_bytes(path, good.substr(0, length));
    CHECK(caught([&] { run.load("last", other); }).exit == 4);
  }
}

}  // namespace fjord::test
