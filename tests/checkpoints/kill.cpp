// Killing the writer at random moments: whatever it said is saved can be read.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/checkpoints/files.h"
#include "tests/checkpoints/training.h"

namespace fjord::test {

namespace {

/// The writer program, saving from `step` on.
struct Writer {
  pid_t pid = 0;
  int out = -1;

  Writer(const std::filesystem::path& folder, std::int64_t step) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string program = FJORD_CHECKPOINT_WRITER, where = folder.string(),
                from = std::to_string(step);
    char* arguments[] = {program.data(), where.data(), from.data(), nullptr};
    REQUIRE(posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    out = ends[0];
  }
  /// Kills it; the last step that it said it had saved, or -1.
  std::int64_t kill_now() const {
    ::kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status));  // it did not end by an error of its own
    std::int64_t step = -1, said = 0;
    while (read(out, &said, sizeof said) == sizeof said) step = said;
    close(out);
    return step;
  }
};

}  // namespace

TEST_CASE("row 81: SIGKILL at 200 random moments leaves no unreadable checkpoint") {
  Folder folder;
  const auto checkpoints = folder / "checkpoints";
  std::mt19937 random(7);
  std::uniform_int_distribution<int> microseconds(0, 120'000);
  std::int64_t saved = -1, next = 0;
  int with_checkpoint = 0;
  TinyTraining training;
  for (int cycle = 0; cycle < 200; ++cycle) {
    const Writer writer(checkpoints, next);
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds(random)));
    saved = std::max(saved, writer.kill_now());
    for (const char* link : {"last", "best"}) {
      if (!std::filesystem::exists(checkpoints / link)) {
        CHECK(saved < 0);  // step 0, the first, is a best one
        continue;
      }
      const Metadata scalars =
          load_checkpoint(checkpoints / link, training.model, training.state()).scalars;
      const std::int64_t step = std::stoll(scalars.at("step"));
      CHECK(training.is_at(step));
      if (std::string_view(link) == "last") {
        CHECK(step >= saved);
        next = step + 1;
        ++with_checkpoint;
      }
    }
  }
  MESSAGE("checkpoints read after a kill: ", with_checkpoint, ", steps saved: ", next);
  CHECK(with_checkpoint > 150);
  CHECK(next > 50);
}

}  // namespace fjord::test
