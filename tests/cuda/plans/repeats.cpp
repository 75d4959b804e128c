// Whether the convolution library's sums for batch normalisation are right, and of the same bits on
// every run.
#include "tests/cuda/plans/repeats.h"

#include <bit>
#include <cmath>
#include <random>

#include "tests/cuda/plans/mirror.h"

namespace fjord::cuda {

namespace {

using Bits = std::vector<std::uint16_t>;  // of bf16
using Floats = std::vector<float>;

float value_of(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// Multiples of 1/64 in [-1, 1]: exact in bf16.
class Draw {
 public:
  float value() { return static_cast<float>(static_cast<int>(random_() % 129) - 64) / 64; }
  Floats vector(std::int64_t count) {
    Floats values(static_cast<std::size_t>(count));
    for (float& v : values) v = value();
    return values;
  }
  Bits tensor(Shape shape) {
    Bits values(static_cast<std::size_t>(shape.count()));
    for (std::uint16_t& v : values)
      v = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value()) >> 16);
    return values;
  }

 private:
  std::mt19937 random_{7};
};

struct Operands {
  explicit Operands(const ConvProblem& p)
      : forward(p.pass == ConvPass::forward),
        shape(forward ? p.output : p.image),
        first(draw.tensor(forward ? p.image : p.output)),
        second(draw.tensor(p.filter)),
        x(draw.tensor(shape)),
        y(draw.tensor(shape)),
        old(draw.tensor(shape)),
        result(Bits(static_cast<std::size_t>(shape.count()))),
        center(draw.vector(shape.c)),
        scale(draw.vector(shape.c)),
        shift(draw.vector(shape.c)),
        first_sum(draw.vector(shape.c)),
        second_sum(draw.vector(shape.c)),
        workspace(std::vector<std::uint8_t>(kConvWorkspaceBytes)) {}

  /// A residual stands where the result will, or apart.
  void run(const ConvPlan& plan, bool in_place) {
    result.poison(), first_sum.poison(), second_sum.poison();
    if (in_place) result.here = old.here, result.send();
    Stream stream{Backend::cuda, nullptr};
    plan.run({.first = first.data(),
              .second = second.data(),
              .result = result.data(),
              .workspace = workspace.data(),
              .residual = in_place ? result.data() : old.data(),
              .sums = {.center = center.data(),
                       .first = first_sum.data(),
                       .second = second_sum.data(),
                       .x = x.data(),
                       .scale = scale.data(),
                       .shift = shift.data(),
                       .y = y.data()}},
             stream);
    check_cuda(cudaDeviceSynchronize(), "a convolution with sums");
    result.fetch(), first_sum.fetch(), second_sum.fetch();
  }

  bool forward;
  Shape shape;  // of the result
  Draw draw;
  Mirror<std::uint16_t> first, second, x, y, old, result;
  Mirror<float> center, scale, shift, first_sum, second_sum;
  Mirror<std::uint8_t> workspace;
};

/// A sum in double, and what it may be off: the library may add values before they are rounded to
/// bf16, by half of 2^-8 of each.
struct Sum {
  double value = 0, size = 0;
  void add(double term) { value += term, size += std::abs(term); }
  bool holds(float sum) const { return std::abs(sum - value) <= size / 512 + 1e-30; }
};

void check_channel(const Operands& o, ConvSums sums, std::size_t c,
                   std::vector<std::string>& faults) {
  Sum first, second;
  const auto channels = static_cast<std::size_t>(o.shape.c);
  for (std::size_t i = c; i < o.result.here.size(); i += channels) {
    const double value = value_of(o.result.here[i]), center = o.center.here[c];
    if (sums == ConvSums::moments) {
      first.add(value - center), second.add((value - center) * (value - center));
      continue;
    }
    const double x = value_of(o.x.here[i]);
    const bool masked = sums == ConvSums::gradients_by_y
                            ? value_of(o.y.here[i]) <= 0
                            : x * o.scale.here[c] + o.shift.here[c] <= 0;
    if (masked && value != 0) faults.push_back(fmt::format("value {} passed the mask", i));
    first.add(value), second.add(value * (x - center));
  }
  // A square is off by twice its value.
  if (sums == ConvSums::moments) second.size *= 2;
  if (!first.holds(o.first_sum.here[c]) || !second.holds(o.second_sum.here[c]))
    faults.push_back(fmt::format("channel {}: sums {} and {}, not {} and {}", c,
                                 o.first_sum.here[c], o.second_sum.here[c], first.value,
                                 second.value));
}

}  // namespace

std::vector<std::string> faults_in_sums(const ConvProblem& problem, int runs) {
  const auto plan = plan_conv(problem, {});
  if (!plan) return {"no plan for " + to_string(problem)};
  return faults_in_sums(problem, *plan, runs);
}

std::vector<std::string> faults_in_sums(const ConvProblem& problem, const ConvPlan& plan,
                                        int runs) {
  Operands o(problem);
  std::vector<std::string> faults;
  Bits result;
  Floats first, second;
  int others = 0;
  for (int i = 0; i < runs; ++i) {
    o.run(plan, problem.epilogue.residual && i > 0);
    if (i == 0) result = o.result.here, first = o.first_sum.here, second = o.second_sum.here;
    if (!same_bits(result, o.result.here) || !same_bits(first, o.first_sum.here) ||
        !same_bits(second, o.second_sum.here))
      ++others;
  }
  if (others > 0) faults.push_back(fmt::format("{} of {} runs gave other bits", others, runs));
  for (std::size_t c = 0; c < first.size(); ++c) check_channel(o, problem.epilogue.sums, c, faults);
  return faults;
}

}  // namespace fjord::cuda
