// Messages: one place that knows of stderr, the log file and the status line.
#include "tools/log.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

#include "kernels/error.h"

namespace fjord {

namespace {

struct State {
  std::mutex mutex;
  bool quiet = false;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, std::fclose};
  std::string status;
};

State& state() {
  static State only;
  return only;
}

// A stderr that is closed or full stops no training and hides no error; fmt::print would throw.
void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void print_line(State& log, std::string_view line) {
  const std::string erase = log.status.empty() ? "" : "\r\x1b[K";
  put(fmt::format("{}{}\n{}", erase, line, log.status));
}

void append(State& log, std::string_view line) {
  if (!log.file) return;
  const bool written = std::fwrite(line.data(), 1, line.size(), log.file.get()) == line.size() &&
                       std::fputc('\n', log.file.get()) != EOF && std::fflush(log.file.get()) == 0;
  if (written) return;
  const std::string why = std::strerror(errno);
  log.file.reset();
  print_line(log, "warning: log.txt cannot be written (" + why + "); messages go to stderr only");
}

}  // namespace

void set_quiet(bool quiet) { state().quiet = quiet; }

void open_log(const std::filesystem::path& path) {
  State& log = state();
  const std::lock_guard lock(log.mutex);
  log.file.reset(std::fopen(path.c_str(), "ae"));
  if (!log.file)
    throw Error(ExitCode::io, "io", printable(path.string()),
                fmt::format("cannot open: {}", std::strerror(errno)),
                "choose a folder that can be written with --out");
}

void say(std::string_view line) {
  State& log = state();
  const std::lock_guard lock(log.mutex);
  if (!log.quiet) print_line(log, line);
  append(log, line);
}

void warn(std::string_view line) {
  State& log = state();
  const std::lock_guard lock(log.mutex);
  const std::string text = fmt::format("warning: {}", line);
  print_line(log, text);
  append(log, text);
}

void note(std::string_view line) {
  State& log = state();
  const std::lock_guard lock(log.mutex);
  append(log, line);
}

void show_status(std::string_view line) {
  State& log = state();
  const std::lock_guard lock(log.mutex);
  if (log.quiet || (line.empty() && log.status.empty())) return;
  log.status = line;
  put(fmt::format("\r\x1b[K{}", line));
}

}  // namespace fjord
