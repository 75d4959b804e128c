// Learning rate over time, decoupled from the optimizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fjord {

enum class ScheduleKind : std::uint8_t { cosine_restarts, cosine, poly, constant };

/// Throws Error{usage} naming the known ones.
ScheduleKind schedule_kind(std::string_view name);

/// Stochastic weight averaging (Izmailov et al. 2018), as torch.optim.swa_utils does it: what the
/// weights are at the ends of epochs is averaged, each end counting as much, at a rate of its own.
struct Swa {
  int start = 0;                  // the first epoch whose end is averaged, from 0
  std::optional<double> lr = {};  // where the rate goes (SWALR); absent: the schedule goes on
  int anneal_epochs = 10;         // how long it takes, along a cosine
};

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine_restarts;
  double lr = 1e-3;
  double eta_min = 1e-5;          // cosine_restarts and cosine
  int t0 = 2, t_mult = 2;         // cosine_restarts: epochs of the first cycle, factor of the next
  double power = 0.9;             // poly
  std::int64_t warmup_steps = 0;  // linear, over any kind
  std::int64_t steps_per_epoch = 1, total_steps = 1;
  std::optional<Swa> swa = {};  // with a rate: constant within an epoch from its start on

  /// The rate of a step, counted from 0. Throws Error{usage} for cycles of no epoch. Restarts
  /// (Loshchilov and Hutter 2017, eq. 5) change by epoch, as PyTorch's CosineAnnealingWarmRestarts
  /// stepped once after each; the others by step.
  double rate(std::int64_t step) const;

 private:
  double scheduled_rate(std::int64_t step) const;
};

}  // namespace fjord
