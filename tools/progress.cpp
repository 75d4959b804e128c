// The progress line.
#include "tools/progress.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "tools/log.h"

namespace fjord {

namespace {

using namespace std::chrono_literals;

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(std::int64_t done, std::int64_t total) {
  constexpr std::int64_t width = 20;
  const std::int64_t filled = total > 0 ? std::min(done, total) * width / total : 0;
  return fmt::format("[{}{}]", std::string(static_cast<std::size_t>(filled), '='),
                     std::string(static_cast<std::size_t>(width - filled), ' '));
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(seconds, 0.0));
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

std::string progress_text(const ProgressState& state, int columns) {
  std::string text = state.epochs > 0 ? fmt::format("epoch {}/{}", state.epoch, state.epochs)
                                      : fmt::format("epoch {}", state.epoch);
  std::vector<std::string> parts = {fmt::format("step {}/{}", state.step, state.steps),
                                    fmt::format("loss {:.4f}", state.loss),
                                    fmt::format("{:.1f} img/s", state.images_per_s)};
  if (state.remaining_seconds >= 0)
    parts.push_back("ETA " + duration_text(state.remaining_seconds));
  parts.push_back(fmt::format("{:.0f} MiB", state.memory_mib));
  parts.push_back(bar(state.step, state.steps));
  for (const std::string& part : parts) {
    if (text.size() + 2 + part.size() > static_cast<std::size_t>(std::max(columns, 20))) break;
    text += "  " + part;
  }
  return text;
}

ProgressLine::ProgressLine() {
  const char* term = std::getenv("TERM");
  const bool dumb = !term || std::string_view(term) == "dumb";
  // NO_COLOR asks for plain output: no escape sequences at all.
  const char* no_color = std::getenv("NO_COLOR");
  in_place_ = ::isatty(STDERR_FILENO) && !dumb && !(no_color && *no_color);
}

void ProgressLine::show(const ProgressState& state) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < (in_place_ ? 100ms : 5000ms)) return;
  last_ = now;
  if (in_place_)
    show_status(progress_text(state, terminal_columns() - 1));
  else
    say(progress_text(state, ::isatty(STDERR_FILENO) ? terminal_columns() : 100));
}

void ProgressLine::clear() {
  if (in_place_) show_status("");
}

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1048576.0;
}

double peak_resident_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

}  // namespace fjord
