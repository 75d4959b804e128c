// Texts to numbers, sizes and lists and back, whatever the locale; every refusal names its rule.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/error.h"
#include "tools/options.h"

namespace fjord {

namespace {

struct Context {
  const FlagOptions& options;
  const std::string& name;   // of the flag, without dashes; empty: no flag
  const std::string& where;  // as the user wrote it
};

std::string rule(const Range& range, std::string_view noun) {
  const bool low = std::isfinite(range.min), high = std::isfinite(range.max);
  if (low && high && !range.above_min && !range.below_max)
    return fmt::format("{} from {} to {}", noun, range.min, range.max);
  std::string text(noun);
  if (low) text += fmt::format(" {} {}", range.above_min ? "above" : "of at least", range.min);
  if (high)
    text += fmt::format("{} {} {}", low ? " and" : "", range.below_max ? "below" : "at most",
                        range.max);
  return text;
}

[[noreturn]] void refuse(const Context& context, std::string_view needed) {
  throw Error(
      ExitCode::usage, "flag-value", printable(context.where), fmt::format("needs {}", needed),
      context.name.empty() ? "change it; --help says what it is"
                           : fmt::format("change it; --help says what --{} is", context.name));
}

template <class T>
bool reads_as(const std::string& text, T& value) {
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && !text.empty();
}

bool within(const Range& range, double value) {
  if (!std::isfinite(value)) return false;
  return (range.above_min ? value > range.min : value >= range.min) &&
         (range.below_max ? value < range.max : value <= range.max);
}

template <class T>
T whole(const Context& context, const std::string& text) {
  T value{};
  Range range = context.options.range;
  if (std::is_unsigned_v<T> && range.min < 0) range.min = 0;
  if (!reads_as(text, value) || !within(range, static_cast<double>(value)))
    refuse(context, rule(range, "a whole number"));
  return value;
}

void read(const Context& context, const std::string& text, bool& value) {
  if (text != "true" && text != "false") refuse(context, "true or false");
  value = text == "true";
}
void read(const Context& context, const std::string& text, std::string& value) {
  const auto& choices = context.options.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    const std::string_view near = nearest_name(text, {choices.begin(), choices.end()});
    refuse(context, fmt::format("one of {} (did you mean {}?)", fmt::join(choices, ", "), near));
  }
  if (text.find('\0') != std::string::npos) refuse(context, "text without zero bytes");
  value = text;
}
void read(const Context& context, const std::string& text, int& value) {
  value = whole<int>(context, text);
}
void read(const Context& context, const std::string& text, std::int64_t& value) {
  value = whole<std::int64_t>(context, text);
}
void read(const Context& context, const std::string& text, std::uint64_t& value) {
  value = whole<std::uint64_t>(context, text);
}
void read(const Context& context, const std::string& text, double& value) {
  double parsed = 0;
  if (!reads_as(text, parsed) || !within(context.options.range, parsed))
    refuse(context, rule(context.options.range, "a number"));
  value = parsed;
}
void read(const Context& context, const std::string& text, ImageSize& value) {
  const auto cross = text.find('x');
  const std::string height = text.substr(0, cross);
  const std::string width = cross == std::string::npos ? height : text.substr(cross + 1);
  ImageSize size;
  const bool ok = reads_as(height, size.height) && reads_as(width, size.width);
  const bool none = size == ImageSize{};
  auto fits = [](int pixels) { return pixels >= 1 && pixels <= 65536; };
  if (!ok || !(none || (fits(size.height) && fits(size.width))))
    refuse(context, "a size in pixels such as 512, 384x640 (height x width) or 0");
  value = size;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t comma; (comma = text.find(',', begin)) != std::string::npos; begin = comma + 1)
    parts.push_back(text.substr(begin, comma - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

template <class T>
void read(const Context& context, const std::string& text, std::optional<T>& value) {
  T parsed{};
  read(context, text, parsed);
  value = parsed;
}
void read(const Context& context, const std::string& text, std::vector<std::string>& value) {
  std::string parsed;
  read(context, text, parsed);
  value.push_back(parsed);
}
template <class T>
void read(const Context& context, const std::string& text, std::vector<T>& value) {
  std::vector<T> parsed;
  for (const std::string& part : split(text)) {
    T number{};
    read(context, part, number);
    parsed.push_back(number);
  }
  value = parsed;
}

// Bytes that are no printable UTF-8 (of a folder's name) are written as the lone surrogates
// \udc80 to \udcff, which stand for nothing else.
std::string quoted(const std::string& text) {
  std::string line = "\"", high = text;
  for (char& c : high)
    if (static_cast<unsigned char>(c) < 0x80) c = ' ';
  const bool plain = printable(high) == high;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      line += std::string("\\") + c;
    else if (byte < 0x20 || byte == 0x7F)
      line += fmt::format("\\u{:04x}", byte);
    else if (byte >= 0x80 && !plain)
      line += fmt::format("\\udc{:02x}", byte);
    else
      line += c;
  }
  return line + "\"";
}

std::string write(bool value) { return value ? "true" : "false"; }
std::string write(const std::string& value) { return quoted(value); }
std::string write(double value) { return fmt::format("{}", value); }
std::string write(const ImageSize& value) { return quoted(to_string(value)); }
template <class T>
std::string write(T value) requires std::is_integral_v<T> {
  return fmt::format("{}", value);
}
template <class T>
std::string write(const std::optional<T>& value) {
  return value ? write(*value) : "";
}
template <class T>
std::string write(const std::vector<T>& value) {
  if (value.empty()) return "";
  std::vector<std::string> parts;
  for (const auto& part : value) parts.push_back(write(part));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

}  // namespace

std::string to_string(ImageSize size) {
  if (size.height == size.width) return fmt::format("{}", size.height);
  return fmt::format("{}x{}", size.height, size.width);
}

void assign_flag(const FlagTarget& target, const FlagOptions& options, const std::string& name,
                 const std::string& where, const std::string& value) {
  const Context context{options, name, where};
  std::visit([&](auto* member) { read(context, value, *member); }, target);
}

std::string show(const FlagTarget& target) {
  return std::visit([](auto* member) { return write(*member); }, target);
}

}  // namespace fjord
