// The logits and labels that every loss meets in its cases.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "kernels/loss.h"
#include "tests/kernels/op_case.h"

namespace fjord {

/// A form of label on a shape of logits.
struct Setting {
  const char* what;
  Shape logits;
  LabelForm form = LabelForm::classes;
  bool soft = false;         // labels of the logits' type
  double range = 4;          // logits are in [-range, range]
  double kept = 0.87;        // the labels that are neither ignored nor no class, about
  bool nan_ignored = false;  // logits whose label is ignored are NaN
};

/// The sizes are odd, one value, one channel, one more than a chunk of pixels, and the most
/// classes; channels that 16-byte accesses divide and others.
inline const std::vector<Setting> settings{
    {"binary", {1, 1, 1, 1}, LabelForm::elements},
    {"binary", {2, 7, 9, 1}, LabelForm::elements},
    {"binary, chunks", {3, 64, 65, 1}, LabelForm::elements},
    {"binary, large", {1, 13, 11, 1}, LabelForm::elements, false, 80},
    {"binary, all ignored", {1, 5, 3, 1}, LabelForm::elements, false, 4, 0},
    {"binary, NaN ignored", {1, 9, 31, 1}, LabelForm::elements, false, 4, 0.7, true},
    {"soft binary", {2, 7, 9, 1}, LabelForm::elements, true},
    {"multi-label", {2, 5, 7, 3}, LabelForm::elements, true},
    {"multi-label", {1, 5, 7, 16}, LabelForm::elements, false},
    {"multi-label, chunks", {2, 29, 73, 3}, LabelForm::elements, true},
    {"multi-label, large", {1, 9, 13, 6}, LabelForm::elements, true, 80},
    {"classes", {1, 1, 1, 2}},
    {"classes", {2, 5, 7, 4}},
    {"classes", {2, 7, 6, 6}},
    {"classes", {2, 5, 9, 19}},
    {"classes", {1, 9, 11, 16}},
    {"classes", {1, 7, 5, 40}},
    {"classes, chunks", {1, 59, 71, 5}},
    {"classes, large", {1, 9, 11, 6}, LabelForm::classes, false, 80},
    {"classes, all ignored", {1, 5, 3, 6}, LabelForm::classes, false, 4, 0},
    {"classes, NaN ignored", {1, 9, 11, 6}, LabelForm::classes, false, 4, 0.7, true},
    {"two classes, chunks", {2, 47, 45, 2}},
    {"classes, most", {1, 3, 5, 256}},
};

inline double label_kind(std::int64_t i) { return uniform(2, i, 0, 1); }

// Hard labels: mostly classes, some 255, some that are no class. Soft ones: in [0, 1], some 255.
// The first is kept when any is.
inline bool ignored(const Setting& s, std::int64_t i) {
  return (i > 0 || s.kept == 0) && label_kind(i) >= s.kept + 0.03;
}

inline Operand label_of(const Setting& s) {
  const double classes = s.form == LabelForm::classes ? static_cast<double>(s.logits.c) : 2;
  const Shape shape{s.logits.n, s.logits.h, s.logits.w,
                    s.form == LabelForm::classes ? 1 : s.logits.c};
  auto value = [=, soft = s.soft](std::int64_t i) -> double {
    const double kind = label_kind(i), u = uniform(3, i, 0, 1);
    if (ignored(s, i)) return 255.0;
    if (soft) return kind < 0.5 ? std::round(u) : u;
    if ((i > 0 || s.kept == 0) && kind >= s.kept)
      return classes < 200 ? classes + static_cast<double>(i % 2 * 3) : 255;
    return std::min(std::floor(u * classes), classes - 1);
  };
  Operand label = read("label", shape, value);
  return s.soft ? label : typed(label, DType::u8);
}

inline Operand logits_of(const Setting& s) {
  const std::int64_t each = s.form == LabelForm::classes ? s.logits.c : 1;
  return read("logits", s.logits, [=](std::int64_t i) {
    if (s.nan_ignored && ignored(s, i / each)) return static_cast<double>(NAN);
    // Large ones are coarse: their differences are exact in float, as the reference's are.
    const double z = uniform(1, i, -s.range, s.range);
    return s.range > 10 ? std::round(16 * z) / 16 : z;
  });
}

// What a GPU may keep in 16 bits.
inline std::vector<std::string> features_of(const Setting& s) {
  std::vector<std::string> names{"logits", "dlogits"};
  if (s.soft) names.emplace_back("label");
  return names;
}

}  // namespace fjord
