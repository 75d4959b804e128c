// Label values to classes: the maps, the text that describes them, the default rule.
#include "data/label_map.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace fjord {

namespace {

[[noreturn]] void bad_labels(std::string_view text, std::string why) {
  throw Error(ExitCode::usage, "labels", fmt::format("--labels \"{}\"", printable(text)),
              std::move(why),
              "write value:class pairs as in --labels \"0:0,1:1,255:ignore\", or colours as in "
              "--labels \"0,0,0:0,10,200,30:1\"");
}

// Reads the text of --labels from left to right.
struct LabelParser {
  std::string_view all, rest;

  void skip_spaces() {
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  }
  bool take(char c) {
    skip_spaces();
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  std::int64_t number() {
    skip_spaces();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc{} || std::abs(value) > 4294967295)
      bad_labels(all, fmt::format("a whole number is expected at \"{}\"", printable(rest)));
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return value;
  }
  std::uint8_t label_class(int classes) {
    skip_spaces();
    if (rest.starts_with("ignore")) {
      rest.remove_prefix(6);
      return kIgnore;
    }
    const std::int64_t k = number();
    if (k < 0 || k >= classes)
      bad_labels(all, fmt::format("class {} is not one of 0..{} or ignore", k, classes - 1));
    return static_cast<std::uint8_t>(k);
  }
};

void add_entry(LabelMap& map, LabelParser& parser) {
  std::vector<std::int64_t> key{parser.number()};
  while (parser.take(',')) key.push_back(parser.number());
  if (!parser.take(':')) bad_labels(parser.all, "a value is followed by a colon and its class");
  if (key.size() != 1 && key.size() != 3)
    bad_labels(parser.all,
               fmt::format("a key is one value or three of a colour, not {}", key.size()));
  const std::uint8_t k = parser.label_class(map.classes);
  if (key.size() == 1) {
    if (!map.values.emplace(key[0], k).second)
      bad_labels(parser.all, fmt::format("value {} is there twice", key[0]));
    return;
  }
  std::uint32_t color = 0;
  for (const std::int64_t part : key) {
    if (part < 0 || part > 255)
      bad_labels(parser.all, fmt::format("{} is not a part of a colour, 0..255", part));
    color = color << 8 | static_cast<std::uint32_t>(part);
  }
  if (!map.colors.emplace(color, k).second)
    bad_labels(parser.all, fmt::format("colour {},{},{} is there twice", key[0], key[1], key[2]));
}

std::string class_text(std::uint8_t k) { return k == kIgnore ? "ignore" : fmt::format("{}", k); }

bool above_one(const Image& label, std::optional<int> ignored) {
  const auto any = [&](auto pixels) {
    return std::any_of(pixels.begin(), pixels.end(),
                       [&](auto v) { return v > 1 && !(ignored && v == *ignored); });
  };
  if (label.dtype == DType::u8) return any(label.as<std::uint8_t>());
  if (label.dtype == DType::u16) return any(label.as<std::uint16_t>());
  return any(label.as<std::int32_t>());
}

// 255 if any label of the set is above 1, else 1.
std::int64_t binary_foreground(std::span<const Split> splits, std::optional<int> ignored) {
  for (const Split& split : splits)
    for (const Sample& sample : split.samples)
      if (above_one(read_image(sample.label, {.purpose = Purpose::label}), ignored)) return 255;
  return 1;
}

void add_ignored(LabelMap& map, int value) {
  const auto [entry, fresh] = map.values.emplace(value, kIgnore);
  if (!fresh && entry->second != kIgnore)
    throw Error(
        ExitCode::usage, "labels",
        fmt::format("--ignore-index {} and a map of {} to class {}", value, value, entry->second),
        "a label value is ignored or a class, not both", "drop one of the two");
}

}  // namespace

LabelMap LabelMap::binary(std::int64_t foreground) {
  return {.classes = 2, .values = {{0, 0}, {foreground, 1}}, .colors = {}, .threshold = {}};
}

LabelMap LabelMap::identity(int classes) {
  LabelMap map{.classes = classes, .values = {}, .colors = {}, .threshold = {}};
  for (int k = 0; k < classes; ++k) map.values.emplace(k, static_cast<std::uint8_t>(k));
  return map;
}

LabelMap LabelMap::above(double threshold) {
  return {.classes = 2, .values = {}, .colors = {}, .threshold = threshold};
}

LabelMap LabelMap::parse(std::string_view text, int classes) {
  constexpr std::string_view kThreshold = "threshold:";
  if (text.starts_with(kThreshold)) {
    const std::string_view number = text.substr(kThreshold.size());
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc{} || end != number.data() + number.size())
      bad_labels(text, "a number follows threshold:");
    return above(value);
  }
  LabelMap map{.classes = classes, .values = {}, .colors = {}, .threshold = {}};
  LabelParser parser{text, text};
  do add_entry(map, parser);
  while (parser.take(','));
  parser.skip_spaces();
  if (!parser.rest.empty())
    bad_labels(text, fmt::format("a comma is expected at \"{}\"", printable(parser.rest)));
  if (!map.values.empty() && !map.colors.empty()) bad_labels(text, "values and colours don't mix");
  return map;
}

std::string LabelMap::text() const {
  if (threshold) return fmt::format("threshold:{}", *threshold);
  std::string text;
  for (const auto& [value, k] : values)
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", value, class_text(k));
  for (const auto& [color, k] : colors)
    text += fmt::format("{}{},{},{}:{}", text.empty() ? "" : ",", color >> 16, color >> 8 & 255,
                        color & 255, class_text(k));
  return text;
}

std::vector<std::int64_t> LabelMap::values_of_classes() const {
  std::vector<std::int64_t> result(static_cast<std::size_t>(classes));
  for (int k = 0; k < classes; ++k) result[static_cast<std::size_t>(k)] = k;
  if (threshold) return {0, 255};
  for (auto entry = values.rbegin(); entry != values.rend(); ++entry)
    if (entry->second != kIgnore) result[entry->second] = entry->first;
  return result;
}

std::vector<std::uint32_t> LabelMap::colors_of_classes() const {
  if (colors.empty()) return {};
  std::vector<std::uint32_t> result(static_cast<std::size_t>(classes), 0);
  for (auto entry = colors.rbegin(); entry != colors.rend(); ++entry)
    if (entry->second != kIgnore) result[entry->second] = entry->first;
  return result;
}

std::uint8_t LabelMap::outside() const {
  const auto ignores = [](const auto& entries) {
    return std::any_of(entries.begin(), entries.end(),
                       [](const auto& entry) { return entry.second == kIgnore; });
  };
  return ignores(values) || ignores(colors) ? kIgnore : 0;
}

LabelMap label_map_of(const LabelOptions& options, std::span<const Split> splits) {
  if (options.classes < 1 || options.classes > 254)
    throw Error(ExitCode::usage, "classes", fmt::format("--classes {}", options.classes),
                "1 is binary, 2..254 are classes of a softmax", "use --classes 1");
  if (options.threshold && (options.classes > 1 || !options.labels.empty()))
    throw Error(ExitCode::usage, "labels",
                fmt::format("--label-threshold {} and {}", *options.threshold,
                            options.labels.empty() ? fmt::format("--classes {}", options.classes)
                                                   : "--labels"),
                "a threshold makes a binary label and needs no map", "drop one of the two");
  if (options.threshold && !std::isfinite(*options.threshold))
    throw Error(ExitCode::usage, "labels", fmt::format("--label-threshold {}", *options.threshold),
                "pixels at or above it are foreground", "use --label-threshold 128");
  if (options.threshold) return LabelMap::above(*options.threshold);
  const int label_classes = std::max(2, options.classes);
  LabelMap map;
  if (!options.labels.empty())
    map = LabelMap::parse(options.labels, label_classes);
  else if (options.classes > 1)
    map = LabelMap::identity(label_classes);
  else
    map = LabelMap::binary(binary_foreground(splits, options.ignore_index));
  if (options.ignore_index) add_ignored(map, *options.ignore_index);
  return map;
}

Image read_label(const LabelMap& map, const std::filesystem::path& file) {
  return read_image(file, {.purpose = Purpose::label, .label_threshold = map.threshold});
}

}  // namespace fjord
