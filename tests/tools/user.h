// What a user does: runs a program, reads what it printed, looks at files.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/models.h"

namespace fjord::test {

/// What a program left behind. code: exit status, or 128 + the signal that ended it.
struct Outcome {
  int code = -1;
  std::string out, err;

  /// The error line, empty when there is none.
  std::string error() const;
  nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(out); }
};

struct RunOptions {
  std::filesystem::path folder = {};          // where it runs
  std::vector<std::string> environment = {};  // NAME=VALUE, added
  std::int64_t file_bytes = -1;               // RLIMIT_FSIZE
};

/// Runs fjord-NAME to its end. args[0] is the program's name without its folder.
Outcome run(const std::vector<std::string>& args, const RunOptions& options = {});
/// Starts it and leaves it running, output to folder/out and folder/err.
pid_t start(const std::vector<std::string>& args, const RunOptions& options);
/// Waits for a started program: exit status or 128 + signal.
int wait_for(pid_t pid);

/// A folder that is removed with its content.
struct TempFolder {
  TempFolder();
  ~TempFolder();
  std::filesystem::path path;
  std::filesystem::path operator/(const std::string& name) const { return path / name; }
};

std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);
/// A drawn set of 64x64 scenes under folder: enough for a few steps.
std::filesystem::path tiny_data(const std::filesystem::path& folder, int classes = 1,
                                int bands = 3);
/// Flags of the smallest useful training on it.
std::vector<std::string> tiny_training(const std::filesystem::path& data,
                                       const std::filesystem::path& out);
/// The same command with another value of a flag that it has.
std::vector<std::string> with(std::vector<std::string> args, const std::string& flag,
                              const std::string& value);
/// Waits until a file of the run is there (and holds the text); false after a minute.
bool wait_for_file(const std::filesystem::path& path, const std::string& text = "");
std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b);

/// A model as it was drawn, written under folder.
std::string untrained(const std::filesystem::path& folder, const ModelOptions& options);

/// One trained run that several cases look at; made on first use.
struct TrainedRun {
  TempFolder folder;
  std::filesystem::path data, run;
  Outcome outcome;
};
const TrainedRun& trained_run();

}  // namespace fjord::test
