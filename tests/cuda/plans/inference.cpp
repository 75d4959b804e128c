// What cuDNN fuses for inference, on described cards: bias, residual and ReLU behind the sums.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/conv_split.h"
#include "kernels/cuda/cudnn_engines.h"
#include "tests/cuda/plans/zoo.h"

namespace fjord::cuda {

namespace {

void choose_card(const std::string& card) {
  std::ifstream file(std::string(FJORD_PLANS_FOLDER) + "/" + card + ".json");
  CudnnDevice::set_current(CudnnDevice::described({std::istreambuf_iterator<char>(file), {}}));
}

// Whether cuDNN suggests an engine of tensor cores that the product would take. Such engines are
// compiled at run time, which needs a driver: the plan itself is built on a card.
bool fused(ConvProblem problem, ConvEpilogue epilogue) {
  problem.dtype = DType::bf16;
  problem.epilogue = epilogue;
  const auto device = CudnnDevice::current();
  const auto found = candidates(conv_graph(problem), *device, CUDNN_HEUR_MODE_A);
  return std::any_of(found.begin(), found.end(), [&](const Candidate& c) {
    return allowed(c, problem) &&
           std::count(c.notes.begin(), c.notes.end(), CUDNN_NUMERICAL_NOTE_TENSOR_CORE) > 0;
  });
}

bool driver_is_there() {
  if (dlopen("libcuda.so.1", RTLD_LAZY)) return true;
  MESSAGE("SKIPPED: cuDNN needs libcuda.so.1 to suggest them (ctest runs this with a stub)");
  return false;
}

constexpr ConvEpilogue kFirst{.bias = true, .relu = true},
    kSecond{.bias = true, .residual = true, .relu = true};  // of a residual block

}  // namespace

TEST_CASE("bias, residual and ReLU are fused into every convolution whose channels fill packs") {
  if (!driver_is_there()) return;
  for (const char* card : {"a100", "h200"}) {
    choose_card(card);
    int layers = 0, packed = 0;
    for (const ZooConv& conv : zoo().convolutions) {
      CAPTURE(conv.layer);
      const ConvProblem problem = problem_of(conv.shape, ConvPass::forward);
      ++layers;
      if (conv.shape.x.c % 8 != 0 || conv.shape.y.c % 8 != 0) continue;
      ++packed;
      CHECK(fused(problem, kFirst));
      CHECK(fused(problem, kSecond));
    }
    fmt::print("{}: {} of {} layers fused\n", card, packed, layers);
    CHECK(packed > layers / 2);
  }
}

TEST_CASE("ends are fused by engines compiled at run time only into large results, unless timed") {
  if (!driver_is_there()) return;
  choose_card("h200");
  for (const std::int64_t size : {128, 512}) {
    const Shape image{1, size, size, 64};  // 2 and 32 MiB
    ConvProblem problem{.image = image,
                        .filter = {64, 3, 3, 64},
                        .output = image,
                        .conv = {},
                        .dtype = DType::bf16};
    const auto suggested = [&](ConvEpilogue epilogue) {
      problem.epilogue = epilogue;
      auto found = candidates(conv_graph(problem), *CudnnDevice::current(), CUDNN_HEUR_MODE_A);
      REQUIRE(!found.empty());
      return found;
    };
    for (const Candidate& c : suggested(kFirst)) CHECK(worth_building(c, problem) == (size > 128));
    for (const Candidate& c : suggested({})) CHECK(worth_building(c, problem));
  }
}

TEST_CASE("the ends of enlarging convolutions are fused as well") {
  if (!driver_is_there()) return;
  for (const char* card : {"a100", "h200"}) {
    choose_card(card);
    for (const ZooUpsampleConv& conv : zoo().enlarging) {
      CAPTURE(conv.layer);
      const Split split(conv.shape);
      if (split.has_skip())
        CHECK(fused(split.skip(ConvPass::forward), kSecond));
      else
        CHECK(fused(split.low(ConvPass::backward_data), kFirst));
    }
  }
}

}  // namespace fjord::cuda
