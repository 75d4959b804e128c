// A run killed at any moment and gone on with gives the bytes of the run that was not: 20 kills, or
// as many as FJORD_KILLS says.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "user.h"

using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

int kills_wanted() {
  const char* given = std::getenv("FJORD_KILLS");
  return given ? std::atoi(given) : 20;
}

}  // namespace

TEST_CASE("SIGKILL at random moments, then --resume: the same model, every time") {
  const int wanted = kills_wanted();
  const TempFolder folder;
  const fs::path data = tiny_data(folder.path);
  const auto args = with(tiny_training(data, folder / "whole"), "--epochs", "4");
  const auto begin = std::chrono::steady_clock::now();
  const Outcome whole = run(args);
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  const auto length = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  const std::string expected = read_text(folder / "whole/checkpoints/last/model.safetensors");

  std::mt19937 random(7);
  int cycles = 0, runs = 0;
  while (cycles < wanted) {
    const fs::path out = folder / ("run" + std::to_string(runs++));
    for (int code = -1; code != 0;) {
      const bool resuming = fs::exists(out / "checkpoints/last");
      const pid_t pid = start(
          resuming ? std::vector<std::string>{"fjord-train", "--out", out.string(), "--resume"}
                   : with(args, "--out", out.string()),
          {.folder = folder.path});
      if (cycles < wanted) {
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % (length.count() + 1)));
        ::kill(pid, SIGKILL);
      }
      code = wait_for(pid);
      // An unreadable checkpoint would be an exit code of its own.
      REQUIRE_MESSAGE((code == 0 || code == 128 + SIGKILL), read_text(folder / "err"));
      cycles += code != 0;
    }
    REQUIRE(read_text(out / "checkpoints/last/model.safetensors") == expected);
    fs::remove_all(out);  // 200 runs would fill 40 GiB
  }
  MESSAGE(cycles, " kills over ", runs, " runs");
}
