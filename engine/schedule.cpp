// Learning-rate schedules.
#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace fjord {

namespace {

double cosine(double from, double to, double part) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

double restarts(const Schedule& s, std::int64_t epoch) {
  check(s.t0 >= 1 && s.t_mult >= 1, "cosine-restarts",
        "needs cycles of at least one epoch, got t0 {} and t_mult {}", s.t0, s.t_mult);
  std::int64_t cycle = s.t0, begin = 0;
  while (epoch >= begin + cycle) {
    begin += cycle;
    cycle *= s.t_mult;
  }
  return cosine(s.lr, s.eta_min, static_cast<double>(epoch - begin) / cycle);
}

}  // namespace

ScheduleKind schedule_kind(std::string_view name) {
  if (name == "cosine-restarts") return ScheduleKind::cosine_restarts;
  if (name == "cosine") return ScheduleKind::cosine;
  if (name == "poly") return ScheduleKind::poly;
  if (name == "constant") return ScheduleKind::constant;
  throw Error(ExitCode::usage, "schedule", fmt::format("--schedule {}", printable(name)),
              "no schedule has that name", "use cosine-restarts, cosine, poly or constant");
}

double Schedule::rate(std::int64_t step) const {
  const std::int64_t epoch = step / std::max<std::int64_t>(steps_per_epoch, 1);
  if (!swa || !swa->lr || epoch < swa->start) return scheduled_rate(step);
  const double part = static_cast<double>(epoch - swa->start) / std::max(swa->anneal_epochs, 1);
  return cosine(scheduled_rate(swa->start * steps_per_epoch), *swa->lr, std::min(part, 1.0));
}

double Schedule::scheduled_rate(std::int64_t step) const {
  const double part =
      std::min(1.0, static_cast<double>(step) / std::max<std::int64_t>(total_steps, 1));
  double value = lr;
  switch (kind) {
    case ScheduleKind::cosine_restarts:
      value = restarts(*this, step / std::max<std::int64_t>(steps_per_epoch, 1));
      break;
    case ScheduleKind::cosine:
      value = cosine(lr, eta_min, part);
      break;
    case ScheduleKind::poly:
      value = lr * std::pow(1 - part, power);
      break;
    case ScheduleKind::constant:
      break;
  }
  if (step < warmup_steps) value *= static_cast<double>(step + 1) / warmup_steps;
  return value;
}

}  // namespace fjord
