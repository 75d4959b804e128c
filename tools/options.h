// The one options parser of all programs: flags and config files to plain members, with errors that
// name the flag, the value and what is allowed.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace CLI {
class App;
}

namespace fjord {

/// Height and width in pixels; 0 x 0 stands for "as the images are".
struct ImageSize {
  int height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};
std::string to_string(ImageSize size);

using FlagTarget =
    std::variant<bool*, std::string*, int*, std::int64_t*, std::uint64_t*, double*, ImageSize*,
                 std::optional<std::string>*, std::optional<int>*, std::optional<std::int64_t>*,
                 std::optional<double>*, std::optional<ImageSize>*, std::vector<std::string>*,
                 std::vector<int>*, std::vector<double>*>;

/// The numbers a flag accepts.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false, below_max = false;  // the end itself is not allowed
};

struct FlagOptions {
  std::string value = {};                 // how help writes it: "N", "FILE"; empty for switches
  std::string help = {};                  // a few words
  Range range = {};                       // of numbers, and of each number of a list
  std::vector<std::string> choices = {};  // the only texts allowed, when not empty
  bool saved = true;                      // part of the effective config
};

/// What a program is, for --help and --version.
struct ProgramText {
  std::string name;      // fjord-train
  std::string usage;     // "DATA [flags]"
  std::string purpose;   // one line
  std::string examples;  // three lines to copy
};

class Options {
 public:
  explicit Options(ProgramText text) : text_(std::move(text)) {}

  /// The flags that follow are listed under this title in --help.
  void group(std::string title) { group_ = std::move(title); }
  void flag(std::string name, FlagTarget target, FlagOptions options);
  /// Arguments without a flag, in order; a list takes all that are left.
  void positional(std::string name, FlagTarget target, FlagOptions options = {});
  /// Both given (and not at their defaults) is an error saying why.
  void conflict(std::string a, std::string b, std::string why);

  /// Reads the command line. False when --help or --version was asked for and has been printed.
  /// Throws Error{usage}.
  bool parse(int argc, const char* const* argv);
  /// Sets what the command line did not; throws Error{usage} naming file and line. `ignore` is for
  /// a run's config read by a program that has only some of its keys.
  enum class Unknown : std::uint8_t { refuse, ignore };
  void read_config(const std::string& path, Unknown unknown = Unknown::refuse);
  /// Checks the conflicts; called by whoever has read all sources.
  void check_conflicts() const;

  bool given(const std::string& name) const;  // on the command line
  bool set(const std::string& name) const;    // on the command line or by a config
  /// The value as a config writes it; empty when an optional one is unset.
  std::string shown(const std::string& name) const;
  /// Takes everything from a run's config; a flag of the command line that says otherwise is an
  /// error that shows both.
  void resume_from(const std::string& path);
  std::string to_toml() const;
  std::string help() const;
  std::vector<std::string> names() const;
  const ProgramText& text() const { return text_; }

 private:
  struct Flag {
    std::string name, group;
    FlagTarget target;
    FlagOptions options;
    bool positional = false, given = false, configured = false;
    std::string initial;  // shown before anything was read
  };
  struct Pair {
    std::string a, b, why;
  };
  Flag* find(const std::string& name);
  const Flag* find(const std::string& name) const;
  bool print_help_or_version(int argc, const char* const* argv) const;
  void add_to(CLI::App& app, const Flag& flag, std::vector<std::string>& texts) const;
  void refuse_extras(const std::vector<std::string>& extras) const;
  void take(Flag& flag, const std::vector<std::string>& values);
  void apply_config_line(const std::string& path, int line_number, const std::string& line,
                         Unknown unknown);
  [[noreturn]] void refuse_unknown(const std::string& argument) const;

  ProgramText text_;
  std::string group_;
  std::vector<Flag> flags_;
  std::vector<Pair> conflicts_;
};

/// Throws Error{usage}: `where` is how the user wrote it ("--lr abc").
void assign_flag(const FlagTarget& target, const FlagOptions& options, const std::string& name,
                 const std::string& where, const std::string& value);
/// The value in TOML; empty for an unset optional or list.
std::string show(const FlagTarget& target);
/// The name of `names` that `wrong` was most likely meant to be, by
/// what other tools call it or by spelling.
std::string nearest_flag(const std::string& wrong, const std::vector<std::string>& names);

}  // namespace fjord
