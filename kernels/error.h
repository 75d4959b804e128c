// The one way to fail: every error names what and where, why, and what to do, on one line.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fjord {

/// Process exit codes, documented in docs/errors.md.
enum class ExitCode : int {
  ok = 0,
  usage = 2,
  dataset = 3,
  model_file = 4,
  io = 5,
  device = 6,
  numeric = 7,
  bug = 70,
  preempted = 75,
};

/// The one error type. what() is the line a user reads:
/// "error[E-label-value] labels/a.png: found 7 at x 3, y 4 and in 12 of 65536 pixels - with 6
/// classes label values are 0..5 - use --labels ...".
class Error : public std::runtime_error {
 public:
  Error(ExitCode exit, std::string_view slug, std::string_view what, std::string_view why,
        std::string_view remedy)
      : std::runtime_error(fmt::format("error[E-{}] {} - {} - {}", slug, what, why, remedy)),
        exit(exit),
        slug(slug),
        subject(what),
        reason(why) {}

  const ExitCode exit;
  const std::string slug, subject, reason;  // the line but for its remedy
};

/// A rule of the library's own calls (shapes, attributes): throws Error{usage, "shape"} naming the
/// place (a net's path or a function) and the values when it does not hold.
template <class... Args>
void check(bool ok, std::string_view place, fmt::format_string<Args...> rule, Args&&... args) {
  if (ok) return;
  throw Error(ExitCode::usage, "shape", place, fmt::format(rule, std::forward<Args>(args)...),
              "change the model's options or the size of its input");
}

/// A rule that only code can break, ours or that which calls the library: throws Error{bug}.
template <class... Args>
void invariant(bool ok, std::string_view place, fmt::format_string<Args...> rule, Args&&... args) {
  if (ok) return;
  throw Error(ExitCode::bug, "bug", place, fmt::format(rule, std::forward<Args>(args)...),
              "please report it with the command");
}

/// Bytes that came from outside (names, paths, metadata) made safe for one line of a terminal:
/// control characters and invalid UTF-8 become \xNN.
std::string printable(std::string_view bytes);

/// The candidate that `name` was most likely meant to be (Levenshtein's distance; the first of
/// equals), for messages about unknown names. Empty without candidates.
std::string_view nearest_name(std::string_view name,
                              const std::vector<std::string_view>& candidates);

}  // namespace fjord
