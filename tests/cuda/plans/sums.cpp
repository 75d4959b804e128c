// What cuDNN adds up for batch normalisation beside a convolution, on described cards.
//
// Such engines are compiled at run time and suggested only where the driver's library is found: the
// toolkit's stub of it is enough. FJORD_PLANS=1 asks for fp16 too, and compiles one for each
// layer (minutes); only loading it into the card is left out.
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "kernels/cuda/conv_norm_library.h"
#include "kernels/cuda/conv_rule.h"
#include "kernels/cuda/conv_split.h"
#include "kernels/cuda/cudnn_engines.h"
#include "tests/cuda/plans/repeats.h"
#include "tests/cuda/plans/zoo.h"

namespace fjord::cuda {

namespace {

std::shared_ptr<const CudnnDevice> described(const std::string& card) {
  std::ifstream file(std::string(FJORD_PLANS_FOLDER) + "/" + card + ".json");
  return CudnnDevice::described({std::istreambuf_iterator<char>(file), {}});
}

bool driver_is_there() {
  if (dlopen("libcuda.so.1", RTLD_LAZY)) return true;
  MESSAGE("SKIPPED: cuDNN needs libcuda.so.1 to suggest them (ctest runs this with a stub)");
  return false;
}

bool on_tensor_cores(const Candidate& c) {
  return std::count(c.notes.begin(), c.notes.end(), CUDNN_NUMERICAL_NOTE_TENSOR_CORE) > 0;
}

// The stub of the driver refuses to load what was compiled.
bool compiles(const Candidate& c, const CudnnDevice& device) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, c.config);
  device.bind(plan);
  if (plan.try_finalize() == CUDNN_STATUS_SUCCESS) return true;
  std::array<char, 1024> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  return std::string_view(message.data()).find("cuLibraryLoadData") != std::string_view::npos;
}

class Count {
 public:
  Count(std::string card, DType dtype)
      : name_(card + (dtype == DType::bf16 ? " bf16" : " fp16")),
        dtype_(dtype),
        device_(described(card)) {}

  void ask(const std::string& layer, ConvProblem problem, ConvEpilogue epilogue) {
    problem.dtype = dtype_;
    problem.epilogue = epilogue;
    ++asked_;
    const ConvGraph graph = conv_graph(problem);
    std::vector<Candidate> found = candidates(graph, *device_, CUDNN_HEUR_MODE_A);
    std::erase_if(found,
                  [&](const Candidate& c) { return !allowed(c, problem) || !on_tensor_cores(c); });
    if (found.empty())
      FAIL_CHECK(name_ << ": no engine for " << layer << ": " << to_string(problem));
    for (const Candidate& c : found) scratch_ = std::max(scratch_, c.workspace_bytes);
    if (!std::getenv("FJORD_PLANS") || found.empty()) return;
    const bool one = std::any_of(found.begin(), found.end(),
                                 [&](const Candidate& c) { return compiles(c, *device_); });
    if (one)
      ++compiled_;
    else
      FAIL_CHECK(name_ << ": no engine compiles for " << layer << ": " << to_string(problem));
  }

  void report() const {
    fmt::print("{}: {} convolutions with sums have engines, at most {:.1f} MiB of scratch{}\n",
               name_, asked_, static_cast<double>(scratch_) / (1 << 20),
               std::getenv("FJORD_PLANS") ? fmt::format("; {} compiled", compiled_) : "");
    CHECK(asked_ >= 30);
  }

 private:
  std::string name_;
  DType dtype_;
  std::shared_ptr<const CudnnDevice> device_;
  int asked_ = 0, compiled_ = 0;
  std::size_t scratch_ = 0;
};

constexpr ConvEpilogue kMoments{.sums = ConvSums::moments},
    kMomentsOfBoth{.residual = true, .sums = ConvSums::moments},  // the split's second part
    kGradients{.sums = ConvSums::gradients},
    kGradientsOfBoth{.residual = true, .sums = ConvSums::gradients};  // another consumer's added

// Fewer channels than a pack are padded by the engines that add up nothing.
bool packed(const Shape& image) { return image.c % 4 == 0; }

void ask_zoo(Count& count) {
  for (const ZooConv& conv : zoo().convolutions) {
    if (!packed(conv.shape.x) || !packed(conv.shape.y)) continue;
    count.ask(conv.layer, problem_of(conv.shape, ConvPass::forward), kMoments);
    if (conv.shape.conv.stride > 1) continue;
    const ConvProblem backward = problem_of(conv.shape, ConvPass::backward_data);
    count.ask(conv.layer, backward, kGradients);
    count.ask(conv.layer, backward, kGradientsOfBoth);
  }
  for (const ZooUpsampleConv& conv : zoo().enlarging) {
    const Split split(conv.shape);
    count.ask(conv.layer, split.low(ConvPass::forward), kGradients);
    if (split.has_skip()) count.ask(conv.layer, split.skip(ConvPass::forward), kMomentsOfBoth);
  }
}

// What a training step that asks for sums asks of each layer.
void ask_training_step(Count& count) {
  for (const ZooConv& conv : zoo().convolutions) {
    ConvNormShape shape{.conv = conv.shape, .act = Act::relu, .moments = true};
    shape.conv.dtype = DType::bf16;
    CHECK(!moments_problem(shape));
    CHECK(!gradients_problem(shape));
    shape.conv.tuning.library_sums = true;
    if (const auto problem = moments_problem(shape))
      count.ask(conv.layer, *problem, problem->epilogue);
    for (const Write write : {Write::store, Write::add})
      for (const bool by_y : {false, true}) {
        shape.conv.write = write;
        shape.masked_by_y = by_y;
        if (const auto problem = gradients_problem(shape))
          count.ask(conv.layer, *problem, problem->epilogue);
      }
  }
}

}  // namespace

TEST_CASE("every sum that a training step asks for can be fused") {
  if (!driver_is_there()) return;
  for (const char* card : {"a100", "h200"})
    for (const DType dtype : {DType::bf16, DType::f16}) {
      if (dtype == DType::f16 && !std::getenv("FJORD_PLANS")) continue;
      Count count(card, dtype);
      ask_training_step(count);
      count.report();
    }
}

TEST_CASE(
    "sums for batch normalisation can be fused into every convolution but strided gradients") {
  if (!driver_is_there()) return;
  for (const char* card : {"a100", "h200"})
    for (const DType dtype : {DType::bf16, DType::f16}) {
      if (dtype == DType::f16 && !std::getenv("FJORD_PLANS")) continue;
      Count count(card, dtype);
      ask_zoo(count);
      count.report();
    }
}

// Engines are suggested, but NVRTC refuses their code (cuDNN 9.19), each after seconds.
TEST_CASE("sums of a strided convolution's gradient are not fused") {
  if (!driver_is_there()) return;
  ConvProblem problem{.pass = ConvPass::backward_data,
                      .image = {8, 128, 128, 64},
                      .filter = {128, 4, 4, 64},
                      .output = {8, 64, 64, 128},
                      .conv = {.kernel = 4, .stride = 2, .padding = 1},
                      .dtype = DType::bf16};
  const auto card = described("h200");
  for (const ConvEpilogue epilogue : {kMoments, kGradients}) {
    problem.epilogue = epilogue;
    const auto suggested = candidates(conv_graph(problem), *card, CUDNN_HEUR_MODE_A);
    CHECK(!suggested.empty());
    for (const Candidate& c : suggested) CHECK_FALSE(allowed(c, problem));
  }
}

TEST_CASE("fused sums have the same bits in 20 runs on a card") {
  int cards = 0;
  if (cudaGetDeviceCount(&cards) != cudaSuccess || cards == 0) {
    MESSAGE("SKIPPED: no card");
    return;
  }
  CudnnDevice::set_current(nullptr);
  for (const std::int64_t channels : {64, 256}) {
    const Shape image{8, 64, 64, channels};
    ConvProblem problem{.image = image,
                        .filter = {channels, 3, 3, channels},
                        .output = image,
                        .conv = {},
                        .dtype = DType::bf16,
                        .epilogue = kMoments};
    CHECK(faults_in_sums(problem, 20) == std::vector<std::string>{});
    problem.pass = ConvPass::backward_data;
    for (const ConvSums sums : {ConvSums::gradients, ConvSums::gradients_by_y})
      for (const bool added : {false, true}) {
        problem.epilogue = {.residual = added, .sums = sums};
        CHECK(faults_in_sums(problem, 20) == std::vector<std::string>{});
      }
  }
}

}  // namespace fjord::cuda
