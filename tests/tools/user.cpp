// Running programs.
#include "user.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "data/synth.h"
#include "engine/model.h"
#include "engine/state_dict.h"
#include "kernels/cpu/backend.h"
#include "tools/model_record.h"

namespace fjord::test {

namespace fs = std::filesystem;

std::string Outcome::error() const {
  std::istringstream lines(err);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("error[")) return line;
  return "";
}

pid_t start(const std::vector<std::string>& args, const RunOptions& options) {
  const std::string program = std::string(FJORD_PROGRAMS) + "/" + args[0];
  const std::string out = (options.folder / "out").string(),
                    err = (options.folder / "err").string();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  for (const std::string& entry : options.environment) ::putenv(const_cast<char*>(entry.c_str()));
  const int out_file = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int err_file = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int nothing = ::open("/dev/null", O_RDONLY);
  const bool ready = ::dup2(nothing, 0) >= 0 && ::dup2(out_file, 1) >= 0 &&
                     ::dup2(err_file, 2) >= 0 && ::chdir(options.folder.c_str()) == 0;
  if (options.file_bytes >= 0) {
    const rlimit limit{static_cast<rlim_t>(options.file_bytes),
                       static_cast<rlim_t>(options.file_bytes)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (ready) ::execv(program.c_str(), argv.data());
  ::_exit(126);
}

int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Outcome run(const std::vector<std::string>& args, const RunOptions& options) {
  const TempFolder own;
  RunOptions used = options;
  if (used.folder.empty()) used.folder = own.path;
  Outcome outcome;
  outcome.code = wait_for(start(args, used));
  outcome.out = read_text(used.folder / "out");
  outcome.err = read_text(used.folder / "err");
  return outcome;
}

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "fjord-test-XXXXXX").string();
  path = ::mkdtemp(name.data());
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

std::string read_text(const fs::path& path) {
  // Whole blocks at a time: model files are large, and tests are not optimised.
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

fs::path tiny_data(const fs::path& folder, int classes, int bands) {
  write_synth(folder / "data",
              {.images = 10, .size = 64, .bands = bands, .classes = classes, .seed = 1});
  return folder / "data";
}

std::vector<std::string> tiny_training(const fs::path& data, const fs::path& out) {
  return {"fjord-train", data.string(), "--out", out.string(), "--encoder", "resnet18",  "--size",
          "64",          "--batch",     "4",     "--epochs",   "2",         "--threads", "2"};
}

std::vector<std::string> with(std::vector<std::string> args, const std::string& flag,
                              const std::string& value) {
  *(std::find(args.begin(), args.end(), flag) + 1) = value;
  return args;
}

bool wait_for_file(const fs::path& path, const std::string& text) {
  for (int i = 0; i < 30000; ++i) {
    if (fs::exists(path) && read_text(path).find(text) != std::string::npos) return true;
    ::usleep(2000);
  }
  return false;
}

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string untrained(const fs::path& folder, const ModelOptions& options) {
  enable_cpu_kernels();
  Parameters parameters;
  declare_parameters(
      parameters, [&](Net net, Tensor image) { return build_model(net, image, options); },
      options.in_channels, 1);
  ModelRecord record;
  record.model = options;
  const fs::path path = folder / (options.arch + ".safetensors");
  save_state_dict(path, parameters, to_metadata(record));
  return path.string();
}

const TrainedRun& trained_run() {
  static const TrainedRun* only = [] {
    static TrainedRun made;
    made.data = tiny_data(made.folder.path);
    made.run = made.folder / "run";
    made.outcome =
        run(tiny_training(made.data, made.run) + std::vector<std::string>{"--json", "-"});
    return &made;
  }();
  return *only;
}

}  // namespace fjord::test
