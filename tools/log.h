// Messages of a program: stderr, and a run's log.txt when there is one. Results are not messages.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace fjord {

/// --quiet: messages reach the log file only; warnings still reach stderr.
void set_quiet(bool quiet);
/// From now on every message is appended there. A log that cannot be written is warned of once and
/// then left: training goes on.
void open_log(const std::filesystem::path& path);

/// One line each.
void say(std::string_view line);
void warn(std::string_view line);
/// To the log file alone: lines of progress that a terminal showed in place.
void note(std::string_view line);

/// The line that a terminal shows in place (empty: none); messages are printed above it.
void show_status(std::string_view line);

template <class... Args>
void say(fmt::format_string<Args...> text, Args&&... args) requires(sizeof...(Args) > 0) {
  say(std::string_view(fmt::format(text, std::forward<Args>(args)...)));
}
template <class... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) requires(sizeof...(Args) > 0) {
  warn(std::string_view(fmt::format(text, std::forward<Args>(args)...)));
}

}  // namespace fjord
