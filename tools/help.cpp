// --help on one screen: flags in two columns under their groups, then three examples to copy.
#include <fmt/format.h>

#include "tools/options.h"

namespace fjord {

namespace {

constexpr std::size_t kColumns = 100, kEntry = 48, kName = 24;

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

}  // namespace

std::string Options::help() const {
  std::string text =
      fmt::format("{}: {}\nusage: {} {}\n", text_.name, text_.purpose, text_.name, text_.usage);
  std::string group, line;
  auto finish_line = [&] {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (!line.empty()) text += line + "\n";
    line.clear();
  };
  for (const Flag& flag : flags_) {
    if (flag.options.help.empty()) continue;
    if (flag.group != group) {
      finish_line();
      text += flag.group + ":\n";
      group = flag.group;
    }
    const std::string name =
        flag.positional ? flag.name
                        : fmt::format("--{}{}{}", flag.name, flag.options.value.empty() ? "" : " ",
                                      flag.options.value);
    const std::string entry = "  " + padded(name, kName) + " " + flag.options.help;
    const bool wide = entry.size() > kEntry;
    const std::size_t at = line.empty() ? 0 : kEntry + 2;
    if (!line.empty() && at + entry.size() > kColumns) finish_line();
    line += entry;
    if (line.size() > kEntry || wide)
      finish_line();
    else
      line = padded(line, kEntry + 2);
  }
  finish_line();
  return text + "examples:\n" + text_.examples;
}

}  // namespace fjord
