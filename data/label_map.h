// What the values of label files mean: which pixel value is which class.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/image.h"

namespace fjord {

/// The class of pixels that no loss and no metric counts.
inline constexpr std::uint8_t kIgnore = 255;

/// Label values (or colours of RGB labels) to classes. In memory a label pixel is one byte: the
/// class, or kIgnore.
struct LabelMap {
  int classes = 2;                               // of label pixels: 2 for binary, else K
  std::map<std::int64_t, std::uint8_t> values;   // value -> class or kIgnore
  std::map<std::uint32_t, std::uint8_t> colors;  // 0xRRGGBB -> class or kIgnore
  std::optional<double> threshold;               // binary: at or above is foreground

  bool operator==(const LabelMap&) const = default;

  /// Class 0 as 0 and class 1 as `foreground` (1 or 255).
  static LabelMap binary(std::int64_t foreground);
  /// Value k is class k, for 0..classes-1.
  static LabelMap identity(int classes);
  /// Binary: at or above `threshold` is foreground.
  static LabelMap above(double threshold);
  /// `--labels`: "1:0,2:1,255:ignore" or "10,200,30:2,0,0,0:0". Throws Error{usage} saying what is
  /// allowed.
  static LabelMap parse(std::string_view text, int classes);

  /// The text that parse() reads ("threshold:T" for a threshold): kept in the model's file.
  std::string text() const;
  /// The value that label files use for each class, to write predictions with: the smallest of
  /// several; the class itself where the map has none (colours).
  std::vector<std::int64_t> values_of_classes() const;
  /// Class k's colour as 0xRRGGBB for maps of colours, else empty.
  std::vector<std::uint32_t> colors_of_classes() const;
  /// Class of pixels that augmentation brings in from outside: kIgnore where the map ignores
  /// anything, else 0.
  std::uint8_t outside() const;
};

/// What the user said about labels.
struct LabelOptions {
  int classes = 1;                       // as --classes: 1 is binary
  std::string labels = {};               // --labels
  std::optional<double> threshold = {};  // --label-threshold
  std::optional<int> ignore_index = {};  // --ignore-index: this value is ignored
};

/// The map of a data set: what the user said, else binary 0/255 if any label is above 1, else 0/1;
/// with K classes 0..K-1. Throws Error{usage} for options that contradict each other.
LabelMap label_map_of(const LabelOptions& options, std::span<const Split> splits);

/// Reads a label file for a map: a JPEG only where the map has a threshold.
Image read_label(const LabelMap& map, const std::filesystem::path& file);

/// A decoded label to classes, h*w bytes. Throws Error{dataset} naming file, value, pixel and the
/// --labels that would accept it. A note for what was converted is appended to `notes`.
std::vector<std::uint8_t> to_classes(const LabelMap& map, const Image& label,
                                     const std::filesystem::path& file,
                                     std::vector<std::string>& notes);

}  // namespace fjord
