// Every flag that a message of the sources recommends is one that a program has.
#include <doctest/doctest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "user.h"

using namespace fjord::test;

namespace fs = std::filesystem;

namespace {

// Texts of the source between quotes that begin with two dashes or hold them after a space.
std::set<std::string> flags_in(const fs::path& file) {
  std::set<std::string> flags;
  const std::string text = read_text(file);
  static const std::regex literal("\"(?:[^\"\\\\\n]|\\\\.)*\""),
      flag("(^|[^a-z-])(--[a-z][a-z0-9-]*)");
  for (std::sregex_iterator at(text.begin(), text.end(), literal), end; at != end; ++at) {
    const std::string quoted = at->str();
    if (quoted.find("gdal_") != std::string::npos) continue;  // another program's command
    for (std::sregex_iterator f(quoted.begin(), quoted.end(), flag), none; f != none; ++f)
      flags.insert((*f)[2].str());
  }
  return flags;
}

bool parses(const std::string& program, const std::string& flag) {
  // An unknown flag is refused before anything else is looked at.
  return run({program, flag}).err.find("E-unknown-flag") == std::string::npos;
}

}  // namespace

TEST_CASE("every flag in a message parses") {
  std::set<std::string> flags;
  for (const char* folder : {"kernels", "engine", "models", "data", "tools"})
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(FJORD_SOURCE) / folder))
      if (entry.path().extension() == ".cpp" || entry.path().extension() == ".h")
        flags.merge(flags_in(entry.path()));
  CHECK(flags.size() > 30);
  CHECK(flags.count("--labels") == 1);
  CHECK_FALSE(parses("fjord-train", "--no-such-flag"));
  for (const std::string& flag : flags) {
    bool known = false;
    for (const char* program : {"fjord-train", "fjord-evaluate", "fjord-predict", "fjord-inspect",
                                "fjord-data", "fjord-bench", "fjord-import", "fjord-export"})
      known = known || parses(program, flag);
    CHECK_MESSAGE(known, flag, " stands in a message, but no program has it");
  }
}
