// --help on one screen: flags in two columns under their groups, then three examples to copy.
#include <fmt/format.h>

#include <algorithm>

#include "tools/options.h"

namespace fjord {

namespace {

constexpr std::size_t kEntry = 48, kName = 24;  // so that two entries fill 100 columns

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string in_two_columns(const std::vector<std::string>& entries) {
  std::string text;
  for (std::size_t i = 0; i < entries.size(); i += 2)
    text += i + 1 < entries.size() ? padded(entries[i], kEntry + 2) + entries[i + 1] + "\n"
                                   : entries[i] + "\n";
  return text;
}

}  // namespace

std::string Options::help() const {
  std::string text =
      fmt::format("{}: {}\nusage: {} {}\n", text_.name, text_.purpose, text_.name, text_.usage);
  std::vector<std::string> groups;
  for (const Flag& flag : flags_)
    if (!flag.options.help.empty() &&
        std::find(groups.begin(), groups.end(), flag.group) == groups.end())
      groups.push_back(flag.group);
  for (const std::string& group : groups) {
    std::vector<std::string> narrow, wide;
    for (const Flag& flag : flags_) {
      if (flag.group != group || flag.options.help.empty()) continue;
      const std::string dashes = flag.positional ? "" : "--";
      const std::string space = flag.options.value.empty() ? "" : " ";
      const std::string entry = "  " +
                                padded(dashes + flag.name + space + flag.options.value, kName) +
                                " " + flag.options.help;
      (entry.size() > kEntry ? wide : narrow).push_back(entry);
    }
    text += group + ":\n" + in_two_columns(narrow);
    for (const std::string& line : wide) text += line + "\n";
  }
  return text + "examples:\n" + text_.examples;
}

}  // namespace fjord
