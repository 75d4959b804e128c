// Whether cuBLASLt's algorithms compute a convolution that is a product, with the same bits on
// every run.
#include "tests/cuda/plans/product_repeats.h"

#include <algorithm>
#include <random>

#include "kernels/cuda/cublas_library.h"
#include "tests/cuda/plans/mirror.h"
#include "tests/kernels/half_types.h"

namespace fjord::cuda {

namespace {

using Doubles = std::vector<double>;
using Bytes = std::vector<std::byte>;

template <class T>
void append(Bytes& bytes, T value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

Bytes stored(const Doubles& values, DType type) {
  Bytes bytes;
  for (const double value : values) {
    if (is_16_bit(type))
      append(bytes, to_bits(value, type));
    else
      append(bytes, static_cast<float>(value));
  }
  return bytes;
}

enum class Draw : std::uint8_t { exact, rounding };

// Exact: multiples of 1/64 in [-1, 1], in every type; f32 holds each sum of 4,000 products.
Doubles drawn(Shape shape, Draw draw, std::mt19937& random) {
  Doubles values(static_cast<std::size_t>(shape.count()));
  for (double& v : values) {
    const auto bits = random();
    v = draw == Draw::exact ? (static_cast<int>(bits % 129) - 64) / 64.0 : bits / 2147483648.0 - 1;
  }
  return values;
}

// By the definition: each pixel's channels, weighed.
void accumulate(const ConvProblem& p, const Doubles& first, const Doubles& second, Doubles& to) {
  const auto inputs = static_cast<std::size_t>(p.image.c),
             outputs = static_cast<std::size_t>(p.output.c),
             pixels = static_cast<std::size_t>(p.image.pixels());
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t k = 0; k < outputs; ++k)
      for (std::size_t c = 0; c < inputs; ++c) {
        const std::size_t x = i * inputs + c, y = i * outputs + k, w = k * inputs + c;
        if (p.pass == ConvPass::forward) to[y] += first[x] * second[w];
        if (p.pass == ConvPass::backward_data) to[x] += first[y] * second[w];
        if (p.pass == ConvPass::backward_filter) to[w] += first[x] * second[y];
      }
}

class Operands {
 public:
  Operands(const ConvProblem& p, Draw draw, std::size_t workspace)
      : problem_(p),
        random_(7),
        first_(drawn(p.pass == ConvPass::backward_data ? p.output : p.image, draw, random_)),
        second_(drawn(p.pass == ConvPass::backward_filter ? p.output : p.filter, draw, random_)),
        old_(drawn(result_shape(), draw, random_)),
        first_there_(stored(first_, p.dtype)),
        second_there_(stored(second_, p.dtype)),
        result_(stored(old_, p.dtype)),
        workspace_(Bytes(workspace + 1)) {}

  Bytes run(const ConvPlan& plan) {
    result_.here = stored(old_, problem_.dtype);
    if (problem_.epilogue.add)
      result_.send();
    else
      result_.poison();
    Stream stream{Backend::cuda, nullptr};
    plan.run({.first = first_there_.data(),
              .second = second_there_.data(),
              .result = result_.data(),
              .workspace = workspace_.data()},
             stream);
    check_cuda(cudaDeviceSynchronize(), "a product");
    result_.fetch();
    return result_.here;
  }

  Bytes expected() const {
    Doubles values = problem_.epilogue.add ? old_ : Doubles(old_.size());
    accumulate(problem_, first_, second_, values);
    return stored(values, problem_.dtype);
  }

 private:
  Shape result_shape() const {
    return problem_.pass == ConvPass::forward         ? problem_.output
           : problem_.pass == ConvPass::backward_data ? problem_.image
                                                      : problem_.filter;
  }

  ConvProblem problem_;
  std::mt19937 random_;
  Doubles first_, second_, old_;
  Mirror<std::byte> first_there_, second_there_, result_, workspace_;
};

}  // namespace

std::vector<std::string> faults_in_products(const ConvProblem& problem, int runs) {
  const std::vector<ConvCandidate> candidates = product_candidates(problem);
  if (candidates.empty()) return {"no candidate for " + to_string(problem)};
  std::size_t workspace = 0;
  for (const ConvCandidate& c : candidates)
    workspace = std::max(workspace, c.plan->workspace_bytes);
  Operands exact(problem, Draw::exact, workspace), rounding(problem, Draw::rounding, workspace);
  const Bytes expected = exact.expected();
  std::vector<std::string> faults;
  for (const ConvCandidate& candidate : candidates) {
    const ConvPlan& plan = *candidate.plan;
    if (!same_bits(exact.run(plan), expected))
      faults.push_back(fmt::format("{}: {}: wrong", to_string(problem), plan.engine));
    const Bytes first = rounding.run(plan);
    int others = 0;
    for (int i = 1; i < runs; ++i) others += same_bits(rounding.run(plan), first) ? 0 : 1;
    if (others > 0)
      faults.push_back(fmt::format("{}: {}: {} of {} runs gave other bits", to_string(problem),
                                   plan.engine, others, runs));
  }
  return faults;
}

}  // namespace fjord::cuda
