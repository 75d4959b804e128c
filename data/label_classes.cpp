// Decoded labels to classes, and what to tell the user about a value that no class has.
#include <algorithm>
#include <array>
#include <limits>

#include "data/label_map.h"

namespace fjord {

namespace {

using Histogram = std::map<std::int64_t, std::int64_t>;  // value or colour -> pixels

constexpr std::size_t kListed = 16;  // more values than this come from interpolation or JPEG
constexpr std::uint8_t kUnknown = 254;

std::string name_of(const std::filesystem::path& file) { return printable(file.native()); }

std::string color_text(std::int64_t color) {
  return fmt::format("{},{},{}", color >> 16, color >> 8 & 255, color & 255);
}

struct Pixels {
  const Image& label;

  std::int64_t value(std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i * label.bands);
    if (label.dtype == DType::u8) return label.as<std::uint8_t>()[at];
    if (label.dtype == DType::u16) return label.as<std::uint16_t>()[at];
    return label.as<std::int32_t>()[at];
  }
  // 0xRRGGBB of a colour, of a grey value or of a palette's index.
  std::int64_t color(std::int64_t i) const {
    const auto bytes = label.as<std::uint8_t>();
    const auto at = static_cast<std::size_t>(i * label.bands);
    if (label.bands == 3)
      return std::int64_t{bytes[at]} << 16 | std::int64_t{bytes[at + 1]} << 8 | bytes[at + 2];
    const auto index = static_cast<std::size_t>(bytes[at]) * 3;
    if (index + 2 < label.palette.size())
      return std::int64_t{label.palette[index]} << 16 |
             std::int64_t{label.palette[index + 1]} << 8 | label.palette[index + 2];
    return std::int64_t{bytes[at]} * 0x010101;
  }
  std::int64_t count() const { return std::int64_t{label.height} * label.width; }
};

template <class Key>
Histogram histogram_of(std::int64_t pixels, Key key) {
  Histogram histogram;
  for (std::int64_t i = 0; i < pixels; ++i) ++histogram[key(i)];
  return histogram;
}

// --labels that keeps what is known and ignores the rest.
std::string accepting_map(const LabelMap& map, const Histogram& histogram,
                          std::string_view unknown_class) {
  std::string text;
  Histogram all = histogram;
  for (const auto& [value, k] : map.values) all.emplace(value, 0);
  for (const auto& [value, count] : all) {
    const auto known = map.values.find(value);
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", value,
                        known == map.values.end()  ? std::string(unknown_class)
                        : known->second == kIgnore ? "ignore"
                                                   : fmt::format("{}", known->second));
  }
  return text;
}

std::string allowed_values(const LabelMap& map) {
  if (map == LabelMap::identity(map.classes))
    return fmt::format("with {} classes label values are 0..{}", map.classes, map.classes - 1);
  if (map == LabelMap::binary(255)) return "labels of this set are 0 and 255";
  if (map == LabelMap::binary(1)) return "labels of this set are 0 and 1";
  std::string text;
  for (const auto& [value, k] : map.values)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", value);
  return "the label map knows " + text;
}

std::string value_remedy(const LabelMap& map, const Histogram& histogram) {
  if (histogram.size() > kListed)
    return map.classes == 2
               ? "use --label-threshold 128, or save labels as PNG without interpolation"
               : "save labels as PNG, resized without interpolation";
  const std::string ignoring = accepting_map(map, histogram, "ignore");
  if (map.classes != 2) return fmt::format("use --labels \"{}\"", ignoring);
  return fmt::format("use --labels \"{}\" if it is foreground, --labels \"{}\" if it is unlabelled",
                     accepting_map(map, histogram, "1"), ignoring);
}

[[noreturn]] void throw_value(const LabelMap& map, const Image& label,
                              const std::filesystem::path& file, std::int64_t first) {
  const Pixels pixels{label};
  const std::int64_t value = pixels.value(first);
  const Histogram histogram =
      histogram_of(pixels.count(), [&](std::int64_t i) { return pixels.value(i); });
  throw Error(
      ExitCode::dataset, "label-value",
      fmt::format("{}: found {} at x {}, y {} and in {} of {} pixels", name_of(file), value,
                  first % label.width, first / label.width, histogram.at(value), pixels.count()),
      allowed_values(map), value_remedy(map, histogram));
}

// The colours of a label by share, and the --labels that gives each a class.
[[noreturn]] void throw_colors(const LabelMap& map, const Image& label,
                               const std::filesystem::path& file) {
  const Pixels pixels{label};
  const Histogram histogram =
      histogram_of(pixels.count(), [&](std::int64_t i) { return pixels.color(i); });
  std::vector<std::pair<std::int64_t, std::int64_t>> by_share(histogram.begin(), histogram.end());
  std::stable_sort(by_share.begin(), by_share.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string shares, ready;
  std::int64_t unknown = 0, next_class = 0;
  for (const auto& [color, k] : map.colors)
    if (k != kIgnore) next_class = std::max<std::int64_t>(next_class, k + 1);
  for (const auto& [color, k] : map.colors)
    ready += fmt::format("{}{}:{}", ready.empty() ? "" : ",", color_text(color),
                         k == kIgnore ? "ignore" : fmt::format("{}", k));
  std::size_t listed = 0;
  for (const auto& [color, count] : by_share) {
    const bool known = map.colors.count(static_cast<std::uint32_t>(color)) != 0;
    if (!known) unknown += count;
    if (listed++ < kListed)
      shares +=
          fmt::format("{}{} ({:.1f} %)", shares.empty() ? "" : ", ", color_text(color),
                      100.0 * static_cast<double>(count) / static_cast<double>(pixels.count()));
    if (!known)
      ready += fmt::format("{}{}:{}", ready.empty() ? "" : ",", color_text(color),
                           next_class < map.classes ? fmt::format("{}", next_class++) : "ignore");
  }
  const bool many = by_share.size() > kListed;
  if (many) shares += fmt::format(" and {} more", by_share.size() - kListed);
  const std::string why =
      map.colors.empty()
          ? "a label holds class numbers, or colours that --labels names"
          : fmt::format("{} pixels have colours that --labels does not name", unknown);
  throw Error(ExitCode::dataset, "label-color",
              fmt::format("{}: an RGB label with colours {}", name_of(file), shares), why,
              many ? "save labels as PNG, resized without interpolation"
                   : fmt::format("use --labels \"{}\"", ready));
}

bool all_grey(const Image& label) {
  const auto bytes = label.as<std::uint8_t>();
  for (std::size_t i = 0; i + 2 < bytes.size(); i += 3)
    if (bytes[i] != bytes[i + 1] || bytes[i] != bytes[i + 2]) return false;
  return true;
}

std::vector<std::uint8_t> by_threshold(const Image& label, double threshold) {
  const Pixels pixels{label};
  std::vector<std::uint8_t> classes(static_cast<std::size_t>(pixels.count()));
  for (std::int64_t i = 0; i < pixels.count(); ++i) {
    double value = static_cast<double>(pixels.value(i));
    if (label.bands == 3) {  // luma of Rec. 601
      const std::int64_t c = pixels.color(i);
      value = (299.0 * static_cast<double>(c >> 16) + 587.0 * static_cast<double>(c >> 8 & 255) +
               114.0 * static_cast<double>(c & 255)) /
              1000.0;
    }
    classes[static_cast<std::size_t>(i)] = value >= threshold;
  }
  return classes;
}

std::vector<std::uint8_t> by_color(const LabelMap& map, const Image& label,
                                   const std::filesystem::path& file) {
  const Pixels pixels{label};
  std::vector<std::uint8_t> classes(static_cast<std::size_t>(pixels.count()));
  for (std::int64_t i = 0; i < pixels.count(); ++i) {
    const auto known = map.colors.find(static_cast<std::uint32_t>(pixels.color(i)));
    if (known == map.colors.end()) throw_colors(map, label, file);
    classes[static_cast<std::size_t>(i)] = known->second;
  }
  return classes;
}

std::vector<std::uint8_t> by_value(const LabelMap& map, const Image& label,
                                   const std::filesystem::path& file) {
  const Pixels pixels{label};
  // kUnknown is no class: classes end at 253 where a map has 254 of them, 0..253.
  std::array<std::uint8_t, 256> table;
  for (int v = 0; v < 256; ++v) {
    const auto known = map.values.find(v);
    table[static_cast<std::size_t>(v)] = known == map.values.end() ? kUnknown : known->second;
  }
  std::vector<std::uint8_t> classes(static_cast<std::size_t>(pixels.count()));
  for (std::int64_t i = 0; i < pixels.count(); ++i) {
    const std::int64_t value = pixels.value(i);
    std::uint8_t k = kUnknown;
    if (value >= 0 && value < 256) {
      k = table[static_cast<std::size_t>(value)];
    } else if (const auto known = map.values.find(value); known != map.values.end()) {
      k = known->second;
    }
    if (k == kUnknown) throw_value(map, label, file, i);
    classes[static_cast<std::size_t>(i)] = k;
  }
  return classes;
}

}  // namespace

std::vector<std::uint8_t> to_classes(const LabelMap& map, const Image& label,
                                     const std::filesystem::path& file,
                                     std::vector<std::string>& notes) {
  const bool rgb = label.bands == 3 && label.dtype == DType::u8;
  if (label.bands != 1 && !rgb)
    throw Error(ExitCode::dataset, "label-bands",
                fmt::format("{}: a label of {} bands", name_of(file), label.bands),
                "a label has one band, or three of 8-bit colours", "save it with one band");
  if (map.threshold) return by_threshold(label, *map.threshold);
  if (!map.colors.empty()) {
    if (label.dtype != DType::u8)
      throw Error(ExitCode::dataset, "label-color",
                  fmt::format("{}: a label of more than 8 bits", name_of(file)),
                  "--labels names colours", "name its values: --labels \"0:0,1:1\"");
    return by_color(map, label, file);
  }
  if (rgb) {
    if (!all_grey(label)) throw_colors(map, label, file);
    notes.push_back("labels stored as RGB with R = G = B: read as one band");
  }
  return by_value(map, label, file);
}

}  // namespace fjord
