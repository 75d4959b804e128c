// The check of a library's sums for batch normalisation, itself checked on the emulated card: it
// passes what is right, and says no to a plan that is not.
#include <doctest/doctest.h>

#include "kernels/cuda/backend.h"
#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/plans/repeats.h"

namespace fjord {

namespace {

using cuda::ConvOperands;
using cuda::ConvProblem;
using cuda::ConvSums;

ConvProblem problem_with(cuda::ConvPass pass, ConvSums sums) {
  return {.pass = pass,
          .image = {2, 6, 8, 12},
          .filter = {8, 3, 3, 12},
          .output = {2, 6, 8, 8},
          .conv = {},
          .dtype = DType::bf16,
          .epilogue = {.sums = sums}};
}

/// The stand-in's plan; then the value at an address of the call's is made 0.747 in f32 and bf16.
class Spoiled : public cuda::ConvPlan {
 public:
  using Address = void* (*)(const ConvOperands&);
  Spoiled(const ConvProblem& problem, Address address, std::size_t bytes, int only_run = 0)
      : right_(plan_conv(problem, {})), address_(address), bytes_(bytes), only_run_(only_run) {
    workspace_bytes = right_->workspace_bytes;
  }

  void run(const ConvOperands& operands, Stream& stream) const override {
    right_->run(operands, stream);
    if (++runs_ == only_run_ || only_run_ == 0)
      cudaMemsetAsync(address_(operands), 0x3F, bytes_, static_cast<cudaStream_t>(stream.native));
  }

 private:
  std::shared_ptr<const cuda::ConvPlan> right_;
  Address address_;
  std::size_t bytes_;
  int only_run_;
  mutable int runs_ = 0;
};

}  // namespace

TEST_CASE("sums beside a convolution are of what it stored, the same on every run") {
  for (const auto pass : {cuda::ConvPass::forward, cuda::ConvPass::backward_data})
    for (const auto sums : {ConvSums::moments, ConvSums::gradients, ConvSums::gradients_by_y})
      for (const bool added : {false, true}) {
        ConvProblem problem = problem_with(pass, sums);
        problem.epilogue.residual = added;
        CAPTURE(cuda::to_string(problem));
        CHECK(cuda::faults_in_sums(problem, 2) == std::vector<std::string>{});
      }
}

TEST_CASE("where plans are timed, sums are of a plan that adds up, also beside a product") {
  ConvProblem problem = problem_with(cuda::ConvPass::forward, ConvSums::moments);
  problem.filter = {8, 1, 1, 12};
  problem.conv = {.kernel = 1, .padding = 0};
  const ConvTuning both{.timed = true, .library_sums = true};
  CHECK(cuda::faults_in_sums(problem, *cuda::plan_conv(problem, both), 2) ==
        std::vector<std::string>{});
  problem.epilogue = {};
  CHECK(cuda::plan_conv(problem, both)->engine != "stand-in");
}

TEST_CASE("sums that are wrong, pass the mask or change from run to run are found") {
  const auto first = [](const ConvOperands& o) { return o.sums.first; };
  const auto second = [](const ConvOperands& o) { return o.sums.second; };
  const auto result = [](const ConvOperands& o) { return o.result; };
  for (const auto sums : {ConvSums::moments, ConvSums::gradients, ConvSums::gradients_by_y}) {
    const ConvProblem problem = problem_with(cuda::ConvPass::forward, sums);
    for (const Spoiled::Address address : {+first, +second}) {
      CHECK(cuda::faults_in_sums(problem, Spoiled(problem, address, 4), 2).size() == 1);
      const auto changing = cuda::faults_in_sums(problem, Spoiled(problem, address, 4, 2), 3);
      CHECK(changing == std::vector<std::string>{"1 of 3 runs gave other bits"});
    }
  }
  // 0.747 in each of the channels of 20 pixels, of which some are masked.
  for (const auto sums : {ConvSums::gradients, ConvSums::gradients_by_y}) {
    const ConvProblem masked = problem_with(cuda::ConvPass::forward, sums);
    const auto passed = cuda::faults_in_sums(masked, Spoiled(masked, +result, 20 * 8 * 2), 1);
    REQUIRE(!passed.empty());
    CHECK(passed[0].find("passed the mask") != std::string::npos);
  }
}

}  // namespace fjord
