// A run's folder and its lock.
#include "tools/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "kernels/error.h"
#include "kernels/threads.h"
#include "tools/files.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

// The file name without its folder, whatever slashes end the path.
std::string base_name(const std::string& path) {
  fs::path clean = fs::absolute(path).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  const std::string name = clean.filename().string();
  return name.empty() ? "data" : name;
}

int number_of(const std::string& name, const std::string& prefix) {
  int number = 0;
  if (!name.starts_with(prefix)) return 0;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end ? number : 0;
}

fs::path make_numbered(const RunRequest& request) {
  const fs::path runs = "runs";
  require_writable(runs);
  const std::string prefix =
      fmt::format("{}-{}-{}-", base_name(request.data), request.arch, request.encoder);
  int last = 0;
  for (const auto& entry : fs::directory_iterator(runs))
    last = std::max(last, number_of(entry.path().filename().string(), prefix));
  // create_directory is false when another program took the number in between.
  for (;;) {
    const fs::path path = runs / fmt::format("{}{:03}", prefix, ++last);
    if (fs::create_directory(path)) return path;
  }
}

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int take_lock(const fs::path& run) {
  const fs::path path = run / ".lock";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0 || ::flock(file, LOCK_EX | LOCK_NB) != 0) {
    const std::string owner = read_line(path);
    if (file >= 0) ::close(file);
    throw Error(ExitCode::io, "run-locked", printable(run.string()),
                owner.empty() ? "cannot be locked" : "is already used by " + printable(owner),
                "wait for it, or choose another folder with --out");
  }
  utsname system{};
  ::uname(&system);
  const std::string owner = fmt::format("pid {} on {}\n", ::getpid(), system.nodename);
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, owner.data(), owner.size(), 0) < 0) {
    ::close(file);
    throw Error(ExitCode::io, "io", printable(path.string()), "cannot be written",
                "free space or choose another folder with --out");
  }
  return file;
}

// A folder of the user's own must not be filled with a run by a slip.
void require_run_or_empty(const fs::path& path) {
  if (fs::exists(path / "command.txt") || fs::exists(path / "checkpoints")) return;
  for (const char* name : {"config.toml", "metrics.csv", "steps.csv", "environment.json", "plots",
                           "samples", "log.txt"})
    if (fs::exists(path / name))
      throw Error(ExitCode::usage, "not-a-run", printable((path / name).string()),
                  "would be overwritten, and the folder is not a run",
                  "choose another folder with --out");
}

void check_state(const fs::path& path, const RunRequest& request) {
  std::error_code ignored;
  if (fs::exists(path, ignored) && !fs::is_directory(path, ignored))
    throw Error(ExitCode::usage, "run-folder", printable(path.string()), "is not a folder",
                "choose another folder with --out");
  if (has_checkpoint(path) && !request.resume)
    throw Error(ExitCode::usage, "run-exists", printable(path.string()),
                "holds a checkpoint, and a run is never overwritten",
                "add --resume to go on with it, or choose another folder with --out");
  if (request.resume && !has_checkpoint(path))
    throw Error(ExitCode::usage, "nothing-to-resume", printable(path.string()),
                "holds no checkpoint to go on from",
                "leave --resume out to start it, or name another run with --out");
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string shell_quoted(const std::string& argument) {
  const bool plain =
      !argument.empty() && argument.find_first_not_of(
                               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
                               "QRSTUVWXYZ0123456789_-+=./:,@%") == std::string::npos;
  if (plain) return argument;
  std::string text = "'";
  for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

bool has_checkpoint(const fs::path& run) {
  std::error_code ignored;
  return fs::exists(run / "checkpoints" / "last" / "model.safetensors", ignored);
}

RunFolder RunFolder::open(const RunRequest& request) {
  if (request.resume && request.out.empty())
    throw Error(ExitCode::usage, "nothing-to-resume", "--resume", "does not say which run",
                "name its folder with --out");
  if (request.out.empty()) {
    const fs::path path = make_numbered(request);
    return RunFolder(path, take_lock(path));
  }
  const fs::path path = request.out;
  check_state(path, request);
  if (!request.resume) require_run_or_empty(path);
  require_writable(path);
  return RunFolder(path, take_lock(path));
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::start_afresh() const {
  for (const char* name : {"metrics.csv", "steps.csv", "log.txt", "command.txt"})
    fs::remove(path_ / name);
  for (const char* name : {"plots", "samples", "checkpoints"}) fs::remove_all(path_ / name);
  for (const auto& entry : fs::directory_iterator(path_))
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      fs::remove(entry.path());
}

void RunFolder::write_command(int argc, const char* const* argv) const {
  std::string line = utc_now();
  for (int i = 0; i < argc; ++i) line += " " + shell_quoted(argv[i]);
  std::ofstream file(path_ / "command.txt", std::ios::app);
  file << line << "\n";
}

void RunFolder::write_environment(const RunDevice& device) const {
  utsname system{};
  ::uname(&system);
  nlohmann::ordered_json object = {
      {"fjord", FJORD_VERSION},   {"compiler", __VERSION__},
      {"processor", processor()}, {"cores", std::thread::hardware_concurrency()},
      {"threads", threads()},     {"device", device.backend},
      {"isa", device.isa},        {"precision", device.precision},
      {"system", system.sysname}, {"release", system.release},
      {"host", system.nodename},  {"started", utc_now()}};
  if (!device.card.empty()) {
    object["card"] = device.card;
    object["convolutions"] = device.timed_convolutions ? "timed" : "by rule";
    object["sums"] = device.library_sums ? "cuDNN's" : "hand-written";
  }
  write_file_atomically(
      path_ / "environment.json",
      object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace fjord
