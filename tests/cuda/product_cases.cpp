// Convolutions that are products of matrices, through the stand-in for cuBLASLt on the emulated
// card; which these are; and the stopwatch that would compare them with cuDNN's.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/cuda/conv_product.h"
#include "kernels/cuda/conv_stopwatch.h"
#include "kernels/cuda/cublas_library.h"
#include "tests/cuda/plans/product_repeats.h"

namespace fjord {

namespace {

using cuda::ConvPass;
using cuda::ConvProblem;

ConvProblem point(ConvPass pass, DType dtype) {
  return {.pass = pass,
          .image = {2, 3, 5, 12},
          .filter = {7, 1, 1, 12},
          .output = {2, 3, 5, 7},
          .conv = {.kernel = 1, .padding = 0},
          .dtype = dtype};
}

struct Refusing : cuda::ConvPlan {
  void run(const cuda::ConvOperands&, Stream&) const override {
    throw Error(ExitCode::device, "refused", "a plan", "it never runs", "take another");
  }
};

}  // namespace

TEST_CASE("every pass of a convolution of one pixel is a product, in every type") {
  for (const ConvPass pass :
       {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter})
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
      for (const bool add : {false, true}) {
        ConvProblem problem = point(pass, dtype);
        problem.epilogue.add = add;
        CHECK(cuda::faults_in_products(problem, 2) == std::vector<std::string>{});
      }
}

TEST_CASE("no other convolution is, nor one that ends in more than its old values") {
  const ConvProblem problem = point(ConvPass::forward, DType::f32);
  REQUIRE(cuda::product_of(problem));
  const auto refused = [&](auto change) {
    ConvProblem other = problem;
    change(other);
    return !cuda::product_of(other) && cuda::product_candidates(other).empty();
  };
  CHECK(refused([](ConvProblem& p) { p.filter.h = p.filter.w = p.conv.kernel = 3; }));
  CHECK(refused([](ConvProblem& p) { p.conv.stride = 2; }));
  CHECK(refused([](ConvProblem& p) { p.conv.padding = 1; }));
  CHECK(refused([](ConvProblem& p) { p.conv.groups = 2; }));
  CHECK(refused([](ConvProblem& p) { p.epilogue.bias = true; }));
  CHECK(refused([](ConvProblem& p) { p.epilogue.relu = true; }));
  CHECK(refused([](ConvProblem& p) { p.epilogue.sums = cuda::ConvSums::moments; }));
}

TEST_CASE("a stopwatch runs a plan on memory of its own, and never ends for one that refuses") {
  for (const ConvPass pass :
       {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter}) {
    const ConvProblem problem = point(pass, DType::f32);
    const auto candidates = cuda::product_candidates(problem);
    REQUIRE(!candidates.empty());
    const cuda::Stopwatch stopwatch = cuda::card_stopwatch(problem);
    CHECK(std::isfinite(stopwatch(*candidates.front().plan)));
    CHECK(std::isinf(stopwatch(Refusing())));
  }
}

}  // namespace fjord
