// Config files: flat TOML, a key being a flag's name. Every line is checked by itself, so that an
// error can name it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "kernels/error.h"
#include "tools/files.h"
#include "tools/options.h"

namespace fjord {

namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

[[noreturn]] void refuse(const std::string& what, const std::string& why,
                         const std::string& remedy) {
  throw Error(ExitCode::usage, "config", printable(what), why, remedy);
}

std::string checked_text(const std::string& path) {
  const std::string text = read_small_file(path, kMaxBytes, "config");
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    refuse(path, "the config is empty", "write lines such as lr = 0.001, or leave --config out");
  if (text.starts_with("\xEF\xBB\xBF"))
    refuse(path + ":1", "begins with a byte order mark", "save it as UTF-8 without BOM");
  int line = 1;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r')
      refuse(fmt::format("{}:{}", path, line), "ends lines with CR LF, configs with LF",
             "convert it, for example by dos2unix");
    if (text[i] != '\n' && i + 1 != text.size()) continue;
    const std::string_view bytes(text.data() + begin, i + 1 - begin);
    const std::string_view trimmed = bytes.substr(0, bytes.find('\n'));
    std::string tabs_out(trimmed);
    std::replace(tabs_out.begin(), tabs_out.end(), '\t', ' ');
    if (printable(tabs_out) != tabs_out)
      refuse(fmt::format("{}:{}", path, line), "holds control characters or is not UTF-8",
             "save it as UTF-8 text");
    begin = i + 1, ++line;
  }
  return text;
}

// A TOML basic string from its opening quote; false when it does not end or is followed by more.
bool read_string(const std::string& text, std::string& value) {
  std::size_t i = 1;
  for (; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] != '\\') {
      value += text[i];
      continue;
    }
    const char kind = ++i < text.size() ? text[i] : '\0';
    if (kind == 'u' && i + 4 < text.size()) {
      value += static_cast<char>(std::strtoul(text.substr(i + 1, 4).c_str(), nullptr, 16));
      i += 4;
    } else if (kind == '"' || kind == '\\') {
      value += kind;
    } else if (kind == 'n' || kind == 't') {
      value += kind == 'n' ? '\n' : '\t';
    } else {
      return false;
    }
  }
  const std::size_t rest = text.find_first_not_of(" \t", i + 1);
  return i < text.size() && (rest == std::string::npos || text[rest] == '#');
}

bool wants_text(const FlagTarget& target) {
  return std::holds_alternative<std::string*>(target) ||
         std::holds_alternative<std::optional<std::string>*>(target) ||
         std::holds_alternative<ImageSize*>(target) ||
         std::holds_alternative<std::optional<ImageSize>*>(target) ||
         std::holds_alternative<std::vector<std::string>*>(target);
}

std::string trim(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t");
  return begin == std::string::npos ? ""
                                    : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The value's parts: one, or those of an array.
std::vector<std::string> parts_of(const std::string& line, const std::string& place) {
  const std::string value = trim(line.substr(line.find('=') + 1));
  if (value.starts_with('"')) {
    std::string text;
    if (!read_string(value, text)) refuse(place, "has a text without its end", "close the quotes");
    return {text};
  }
  std::istringstream stream(line + "\n");
  const std::vector<CLI::ConfigItem> items = CLI::ConfigTOML().from_config(stream);
  if (items.size() != 1 || items[0].inputs.empty() || trim(items[0].inputs[0]).empty())
    refuse(place, "has no value", "write key = value");
  return items[0].inputs;
}

}  // namespace

void Options::apply_config_line(const std::string& path, int line_number, const std::string& line,
                                Unknown unknown) {
  const std::string place = fmt::format("{}:{}", path, line_number);
  const std::string name = trim(line.substr(0, line.find('=')));
  if (line.find('=') == std::string::npos || name.empty() || name.starts_with('['))
    refuse(place + ": " + line, "configs are lines of key = value, without tables",
           "write key = value");
  Flag* flag = find(name);
  if (!flag || !flag->options.saved) {
    if (unknown == Unknown::ignore) return;
    const std::string near = nearest_flag(name, names());
    refuse(place + ": " + name, fmt::format("{} has no such key", text_.name),
           near.empty() ? fmt::format("see {} --help for the flags, which are the keys", text_.name)
                        : fmt::format("did you mean {}?", near));
  }
  if (flag->given) return;
  const std::vector<std::string> parts = parts_of(line, place);
  std::string text = fmt::format("{}", fmt::join(parts, ","));
  const std::string where = fmt::format("{}: {} = {}", place, name, text);
  if (trim(line.substr(line.find('=') + 1)).starts_with('"') && !wants_text(flag->target))
    refuse(where, "is a text in quotes where a number is needed", "leave the quotes out");
  if (auto* list = std::get_if<std::vector<std::string>*>(&flag->target)) {
    (*list)->clear();
    for (const std::string& part : parts)
      assign_flag(flag->target, flag->options, name, where, part);
  } else {
    assign_flag(flag->target, flag->options, name, where, text);
  }
  flag->configured = true;
}

void Options::read_config(const std::string& path, Unknown unknown) {
  std::istringstream text(checked_text(path));
  std::set<std::string> seen;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const std::string name = trim(line.substr(0, line.find('=')));
    if (!name.starts_with('[') && !seen.insert(name).second)
      refuse(fmt::format("{}:{}: {}", path, number, name), "stands there a second time",
             "keep one of the lines");
    apply_config_line(path, number, line, unknown);
  }
}

void Options::resume_from(const std::string& path) {
  std::map<std::string, std::string> mine;
  for (Flag& flag : flags_)
    if (flag.given && flag.options.saved) {
      mine[flag.name] = show(flag.target);
      flag.given = false;
    }
  read_config(path);
  for (const auto& [name, value] : mine) {
    Flag* flag = find(name);
    const std::string saved = flag->configured ? show(flag->target) : "";
    flag->given = true;
    if (saved == value || (saved.empty() && value == flag->initial)) continue;
    throw Error(ExitCode::usage, "resume-conflict",
                fmt::format("{}{} {}", flag->positional ? "" : "--", name, value),
                saved.empty() ? fmt::format("{} was started without it", printable(path))
                              : fmt::format("{} says {}", printable(path), saved),
                "leave it out to go on as before, or start another run with --out");
  }
}

std::string Options::to_toml() const {
  std::string text;
  for (const Flag& flag : flags_) {
    const std::string value = show(flag.target);
    if (flag.options.saved && !value.empty()) text += fmt::format("{} = {}\n", flag.name, value);
  }
  return text;
}

}  // namespace fjord
