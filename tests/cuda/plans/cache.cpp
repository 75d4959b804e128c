// The cache of timed choices: kept, found again, and thrown away aloud when damaged.
#include "kernels/cuda/cudnn_cache.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kernels/cuda/cudnn_plan.h"

namespace fjord::cuda {

namespace {

struct Folder {
  Folder()
      : path(std::filesystem::temp_directory_path() / fmt::format("fjord-plans-{}", getpid())) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  const std::filesystem::path path;
};

const ConvProblem problem{.image = {8, 128, 128, 64},
                          .filter = {64, 3, 3, 64},
                          .output = {8, 128, 128, 64},
                          .conv = {},
                          .dtype = DType::bf16};

}  // namespace

TEST_CASE("a choice is found again by device and problem") {
  const Folder folder;
  const ConvChoice engine = EngineChoice{62, {{2, 5}, {27, 1}}}, apart = ApartChoice{},
                   algorithm = AlgorithmChoice{130100, {1, 2, 3, 4, 5, 6, 7, ~std::uint64_t{0}}};
  {
    PlanCache cache(folder.path / "deeper", "card a");
    cache.store("forward", engine);
    cache.store("forward bias", apart);
    cache.store("forward of points", algorithm);
  }
  const PlanCache again(folder.path / "deeper", "card a");
  CHECK(again.find("forward") == engine);
  CHECK(again.find("forward bias") == apart);
  CHECK(again.find("forward of points") == algorithm);
  CHECK_FALSE(again.find("backward-data"));
  CHECK_FALSE(PlanCache(folder.path / "deeper", "card b").find("forward"));
  CHECK_FALSE(PlanCache("", "card a").find("forward"));
}

TEST_CASE("a damaged cache is written anew") {
  const Folder folder;
  const ConvChoice choice = EngineChoice{62, {}};
  PlanCache cache(folder.path, "card");
  cache.store("forward", choice);
  for (const char* damage :
       {"", "{", "[]", R"({"version":2,"device":"card","plans":{"forward":7}})",
        R"({"version":2,"device":"card","plans":{"forward":{"cublasLt":1,"algorithm":[1]}}})",
        R"({"version":1,"device":"card","plans":{}})"}) {
    CAPTURE(damage);
    std::ofstream(cache.path()) << damage;
    PlanCache damaged(folder.path, "card");
    CHECK_FALSE(damaged.find("forward"));
    damaged.store("forward", choice);
    CHECK(PlanCache(folder.path, "card").find("forward") == choice);
  }
}

TEST_CASE("a choice gives the plan that it came from, and nonsense gives none") {
  const auto device = CudnnDevice::current();
  const auto plan = first_plan(problem, device);
  REQUIRE(plan);
  const auto same = plan_of(problem, plan->choice, device);
  REQUIRE(same);
  CHECK(same->engine == plan->engine);
  CHECK(same->workspace_bytes == plan->workspace_bytes);
  CHECK_FALSE(plan_of(problem, {123456, {}}, device));
  CHECK_FALSE(plan_of(problem, {plan->choice.engine, {{2, 1 << 20}}}, device));
}

TEST_CASE("a described card plans and does not run") {
  const auto plan = first_plan(problem, CudnnDevice::current());
  REQUIRE(plan);
  CHECK_THROWS_AS(CudnnDevice::described("{}"), Error);
  if (CudnnDevice::current()->runs()) return;
  Stream stream{Backend::cuda};
  CHECK_THROWS_AS(plan->run({}, stream), Error);
}

}  // namespace fjord::cuda
