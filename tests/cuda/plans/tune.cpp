// Which of several plans timing keeps, with a stopwatch that tells what it is told.
#include "kernels/cuda/cudnn_tune.h"

#include <doctest/doctest.h>

#include <map>

#include "kernels/cuda/cudnn_plan.h"

namespace fjord::cuda {

namespace {

struct Named : ConvPlan {
  explicit Named(std::string name) { engine = std::move(name); }
  void run(const ConvOperands&, Stream&) const override {}
};

std::shared_ptr<const ConvPlan> named(const char* name) {
  return std::make_shared<const Named>(name);
}

const ConvProblem problem{.image = {8, 128, 128, 64},
                          .filter = {64, 3, 3, 64},
                          .output = {8, 128, 128, 64},
                          .conv = {},
                          .dtype = DType::bf16};

}  // namespace

TEST_CASE("the fastest plan wins a race, the first of two that are equal, none that fails") {
  const float never = std::numeric_limits<float>::infinity();
  std::map<std::string, float> times{{"a", 3.0f}, {"b", 2.0f}, {"c", 2.0f}, {"d", never}};
  ConvRace race([&](const ConvPlan& plan) { return times.at(plan.engine); });
  race.enter(named("d"), EngineChoice{9, {}});
  CHECK_FALSE(race.winner());
  race.enter(named("a"), EngineChoice{1, {}});
  race.enter(nullptr, EngineChoice{8, {}});
  race.enter(named("b"), ApartChoice{});
  race.enter(named("c"), AlgorithmChoice{7, {1, 2}});
  REQUIRE(race.winner());
  CHECK(race.winner()->plan->engine == "b");
  CHECK(race.winner()->choice == ConvChoice{ApartChoice{}});
}

TEST_CASE("an engine is chosen among cuDNN's suggestions, and its choice gives its plan again") {
  const auto device = CudnnDevice::current();
  std::vector<std::string> shown;
  const auto last_is_fastest = [&](const ConvPlan& plan) {
    shown.push_back(plan.engine);
    return 100.0f - static_cast<float>(shown.size());
  };
  const auto best = fastest(problem, {}, device, last_is_fastest);
  REQUIRE(best);
  CHECK(shown.size() > 1);
  CHECK(best->plan->engine == shown.back());
  const auto again = chosen_plan(problem, best->choice, {}, device);
  REQUIRE(again);
  CHECK(again->engine == best->plan->engine);
}

// What fuses an ending is compiled at run time and loaded into a card, so here it stands alone.
TEST_CASE("a plan with a pass behind it enters where there is an ending, and nowhere else") {
  const auto device = CudnnDevice::current();
  ConvProblem ended = problem;
  ended.epilogue = {.bias = true, .relu = true};
  std::vector<std::string> shown;
  const auto stopwatch = [&](const ConvPlan& plan) {
    shown.push_back(plan.engine);
    return plan.engine.ends_with("and a pass") ? 1.0f : 2.0f;
  };
  const auto best = fastest(ended, {}, device, stopwatch);
  REQUIRE(best);
  CHECK(best->choice == ConvChoice{ApartChoice{}});
  CHECK(shown.front().ends_with("and a pass"));
  const auto again = chosen_plan(ended, best->choice, {}, device);
  REQUIRE(again);
  CHECK(again->engine == best->plan->engine);
  CHECK_FALSE(chosen_plan(problem, ApartChoice{}, {}, device));
  for (const ConvSums sums : {ConvSums::none, ConvSums::moments}) {
    ConvProblem bare = problem;
    bare.epilogue = {.sums = sums};
    shown.clear();
    fastest(bare, {}, device, stopwatch);
    if (sums == ConvSums::none) CHECK(!shown.empty());
    for (const std::string& engine : shown) CHECK_FALSE(engine.ends_with("and a pass"));
  }
}

}  // namespace fjord::cuda
