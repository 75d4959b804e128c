// Learning rate over time, decoupled from the optimizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fjord {

enum class ScheduleKind : std::uint8_t { cosine_restarts, cosine, poly, constant };

/// Throws Error{usage} naming the known ones.
ScheduleKind schedule_kind(std::string_view name);

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine_restarts;
  double lr = 1e-3;
  double eta_min = 1e-5;          // cosine_restarts and cosine
  int t0 = 2, t_mult = 2;         // cosine_restarts: epochs of the first cycle, factor of the next
  double power = 0.9;             // poly
  std::int64_t warmup_steps = 0;  // linear, over any kind
  std::int64_t steps_per_epoch = 1, total_steps = 1;

  /// The rate of a step, counted from 0. Throws Error{usage} for cycles of no epoch. Restarts
  /// (Loshchilov and Hutter 2017, eq. 5) change by epoch, as PyTorch's CosineAnnealingWarmRestarts
  /// stepped once after each; the others by step.
  double rate(std::int64_t step) const;
};

}  // namespace fjord
