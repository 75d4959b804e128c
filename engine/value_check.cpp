// Counting bad values, and naming the first.
#include "engine/value_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "engine/tensor_file.h"
#include "kernels/error.h"

namespace fjord {

namespace {

bool is_variance(const Parameter& parameter) {
  return parameter.role == Role::statistic && parameter.name.ends_with("_var");
}

std::string index_text(std::int64_t flat, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i]) index[i] = flat % shape[i];
  return shape_text(index);
}

// Compilers make vectors of a loop whose length they know, without a branch in it (thus no &&) and
// with counters as wide as what they count.
constexpr std::size_t kPieceValues = 4096;

struct Counts {
  std::int32_t bad = 0, normal = 0;
};

bool is_bad(float value, float least) { return !((value >= least) & (value <= FLT_MAX)); }

template <std::size_t extent>
Counts counted(std::span<const float, extent> values, float least) {
  Counts counts;
  for (const float value : values) {
    counts.bad += is_bad(value, least) ? 1 : 0;
    counts.normal += std::fabs(value) >= FLT_MIN ? 1 : 0;
  }
  return counts;
}

}  // namespace

void ValueCheck::add(std::span<const float> values) {
  const float least = is_variance(parameter_) ? 0 : -FLT_MAX;
  while (!values.empty()) {
    const auto piece = values.first(std::min(values.size(), kPieceValues));
    const Counts counts = piece.size() == kPieceValues ? counted(piece.first<kPieceValues>(), least)
                                                       : counted(piece, least);
    if (counts.bad > 0 && bad_ == 0) {
      const auto first = std::ranges::find_if(piece, [&](float v) { return is_bad(v, least); });
      first_bad_ = seen_ + (first - piece.begin());
      first_value_ = *first;
    }
    seen_ += static_cast<std::int64_t>(piece.size());
    bad_ += counts.bad;
    normal_ += counts.normal;
    values = values.subspan(piece.size());
  }
}

void ValueCheck::refuse_bad(const std::string& place, std::string_view remedy) const {
  const auto refuse = [&](const std::string& why) {
    throw Error(ExitCode::numeric, "values", place, why, remedy);
  };
  if (bad_ > 0)
    refuse(fmt::format("value {} is {}; {} of {} values are {}not finite",
                       index_text(first_bad_, parameter_.file_shape()), first_value_, bad_, seen_,
                       is_variance(parameter_) ? "negative or " : ""));
  if (parameter_.filter && parameter_.role == Role::weight && normal_ == 0 && seen_ > 0)
    refuse(fmt::format("all {} values are zero or denormal", seen_));
}

}  // namespace fjord
