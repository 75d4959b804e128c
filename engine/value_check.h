// What makes a tensor's values unfit to be loaded or saved.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/parameters.h"

namespace fjord {

/// Looks at a parameter's values in pieces, in files' order.
class ValueCheck {
 public:
  explicit ValueCheck(const Parameter& parameter) : parameter_(parameter) {}

  void add(std::span<const float> values);
  /// Throws Error{numeric, "values"} for NaN, Inf, a filter of zeros or denormals alone, a negative
  /// variance. `place` names file and tensor.
  void refuse_bad(const std::string& place, std::string_view remedy) const;

 private:
  const Parameter& parameter_;
  std::int64_t seen_ = 0, bad_ = 0, normal_ = 0;
  std::int64_t first_bad_ = 0;  // its place in the tensor
  float first_value_ = 0;
};

}  // namespace fjord
