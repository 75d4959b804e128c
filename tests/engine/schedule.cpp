// Learning rates against the values of torch.optim.lr_scheduler.
#include "engine/schedule.h"

#include <doctest/doctest.h>

#include "kernels/error.h"

using namespace fjord;

TEST_CASE("cosine restarts change by epoch, as CosineAnnealingWarmRestarts(T_0=2, T_mult=2)") {
  const Schedule s{.lr = 1e-3, .eta_min = 1e-5, .steps_per_epoch = 10};
  // Epochs 0 to 6 of PyTorch: restarts at 0, 2, 6.
  const double expected[] = {1e-3,     0.000505,           1e-3, 0.0008550178566873,
                             0.000505, 0.0001549821433127, 1e-3};
  for (int epoch = 0; epoch < 7; ++epoch)
    for (int step : {0, 9}) CHECK(s.rate(epoch * 10 + step) == doctest::Approx(expected[epoch]));
}

TEST_CASE("cosine and poly run by step and end where they should") {
  const Schedule cosine{.kind = ScheduleKind::cosine, .lr = 1, .eta_min = 0.1, .total_steps = 100};
  CHECK(cosine.rate(0) == doctest::Approx(1));
  CHECK(cosine.rate(50) == doctest::Approx(0.55));
  CHECK(cosine.rate(100) == doctest::Approx(0.1));
  const Schedule poly{.kind = ScheduleKind::poly, .lr = 1, .total_steps = 100};
  CHECK(poly.rate(50) == doctest::Approx(0.5358867312681466));  // 0.5^0.9
  CHECK(poly.rate(100) == 0);
}

TEST_CASE("warm-up is linear over any schedule") {
  const Schedule s{.kind = ScheduleKind::constant, .lr = 2, .warmup_steps = 4};
  CHECK(s.rate(0) == doctest::Approx(0.5));
  CHECK(s.rate(3) == doctest::Approx(2));
  CHECK(s.rate(9) == doctest::Approx(2));
}

TEST_CASE("restarts after no epoch are refused, not waited for") {
  for (const Schedule& s : {Schedule{.t0 = 0}, Schedule{.t_mult = 0}})
    CHECK_THROWS_AS(s.rate(100), Error);
}

TEST_CASE("an unknown schedule names the known ones") {
  CHECK_THROWS_WITH_AS(schedule_kind("step"),
                       "error[E-schedule] --schedule step - no schedule has that name - use "
                       "cosine-restarts, cosine, poly or constant",
                       Error);
}
