// What every program shares: common flags, the frame that turns errors into exit codes, results.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/options.h"

namespace fjord {

struct CommonFlags {
  bool quiet = false;
  std::string json;  // a file, "-" for stdout, empty for none
  std::string device = "auto";
  std::string isa = "auto";
  int threads = 0;
  std::uint64_t seed = 0;
};

/// Adds --quiet, --json, --device, --isa, --threads, --seed.
void add_common_flags(Options& options, CommonFlags& flags);

/// Sets threads, checks --isa, loads the CUDA backend for --device cuda (Error{device} where that
/// can't be).
void apply_common_flags(const CommonFlags& flags);

/// Runs a program's body: an Error's line goes to stderr and its code is returned, anything else
/// is a bug in one line (70). SIGPIPE and SIGXFSZ are ignored: writes report them.
int run_program(int argc, char** argv, int (*body)(int argc, char** argv));

/// A line of the result, for people: stdout, or nowhere when JSON goes there.
void print_result(const CommonFlags& flags, const std::string& text);
/// The result as one JSON object on one line, where --json says.
void write_json(const CommonFlags& flags, const nlohmann::ordered_json& object);

}  // namespace fjord
