// What the decision on a step does with numbers that op cases cannot compare: NaN.
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

#include "kernels/optimizer_math.h"

namespace fjord {

TEST_CASE("a loss or a norm that is not finite leaves an update out") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  for (const auto& [loss, norm] :
       {std::pair{kNan, 1.0}, {1.0, kNan}, {kInfinite, 1.0}, {1.0, -kInfinite}, {kNan, kNan}}) {
    CAPTURE(loss);
    CAPTURE(norm);
    UpdateState state{.loss_scale = 8};
    UpdateReport report;
    const UpdateRule dynamic{.loss_scaling = LossScaling::dynamic};
    const StepParams params = decide_update({}, dynamic, loss, norm, state, &report, 1);
    CHECK(params.skip == 1);
    CHECK(std::isfinite(params.gradient_scale));
    CHECK(state.loss_scale == 4);
    CHECK(state.halted == 0);
    CHECK(report.skipped == 1);
    CHECK(std::isnan(report.loss) == std::isnan(loss));

    UpdateState fixed;
    CHECK(decide_update({}, {}, loss, norm, fixed, &report, 1).skip == 1);
    CHECK(fixed.halted == 1);
    CHECK(decide_update({}, {}, 1, 1, fixed, &report, 1).skip == 1);
    CHECK(fixed.step == 0);
  }
}

TEST_CASE("25 updates left out in a row halt a run") {
  UpdateState state{.loss_scale = kFirstLossScale};
  const UpdateRule dynamic{.loss_scaling = LossScaling::dynamic};
  UpdateReport reports[4];
  for (int i = 0; i < 24; ++i) decide_update({}, dynamic, 1, 1.0 / 0.0, state, reports, 4);
  CHECK(state.halted == 0);
  decide_update({}, dynamic, 1, 1.0 / 0.0, state, reports, 4);
  CHECK(state.halted == 1);
  CHECK(reports[0].attempt == 25);
  CHECK(reports[0].halted == 1);
  CHECK(decide_update({}, dynamic, 1, 1, state, reports, 4).skip == 1);
  CHECK(reports[1].attempt == 22);  // a halted run writes no report over the older ones
}

}  // namespace fjord
