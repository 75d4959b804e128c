// Stands in for cuDNN behind kernels/cuda/conv_library.h: naive loops over the emulated card's
// memory, queued on the stream like any kernel. Products and sums in f32, rounded once.
//
// It refuses epilogues for images whose width is no multiple of 4, so that the backend's way around
// a refusal is tested too, and asks for a workspace that it leaves full of NaN. More than 8
// images it would do slowly, so that the backend slices them. Where it is to be timed, what is a
// product is the faster one of product_stand_in.cpp.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/cublas_library.h"
#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/stand_in_values.h"

namespace fjord::cuda {

namespace {

constexpr std::size_t kWorkspace = 1000;

using Values = std::vector<float>;

Values values_of(const void* data, DType type, Shape shape) {
  Values values(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_at(data, type, i);
  return values;
}

std::int64_t pixel(Shape s, std::int64_t n, std::int64_t y, std::int64_t x) {
  return ((n * s.h + y) * s.w + x) * s.c;
}

/// Calls body(output, tap, image) for every tap of each pixel of an output row that lies in the
/// image: where the pixels' channels begin, and the tap's number. The order is fixed.
template <class Body>
void for_row(const ConvProblem& p, std::int64_t n, std::int64_t oy, const Body& body) {
  for (std::int64_t r = 0; r < p.filter.h; ++r) {
    const std::int64_t iy = oy * p.conv.stride - p.conv.padding + r * p.conv.dilation;
    if (iy < 0 || iy >= p.image.h) continue;
    for (std::int64_t ox = 0; ox < p.output.w; ++ox)
      for (std::int64_t s = 0; s < p.filter.w; ++s) {
        const std::int64_t ix = ox * p.conv.stride - p.conv.padding + s * p.conv.dilation;
        if (ix < 0 || ix >= p.image.w) continue;
        body(pixel(p.output, n, oy, ox), r * p.filter.w + s, pixel(p.image, n, iy, ix));
      }
  }
}

template <class Body>
void for_rows(const ConvProblem& p, const Body& body) {
  for (std::int64_t n = 0; n < p.output.n; ++n)
    for (std::int64_t oy = 0; oy < p.output.h; ++oy) for_row(p, n, oy, body);
}

// The innermost loop runs over outputs, so that the compiler can vectorise it.
Values forward(const ConvProblem& p, const Values& image, const Values& filter) {
  const std::int64_t channels = p.filter.c, outputs = p.output.c, taps = p.filter.h * p.filter.w;
  Values turned(filter.size()), y(static_cast<std::size_t>(p.output.count()));
  for (std::int64_t k = 0; k < outputs; ++k)
    for (std::int64_t i = 0; i < taps * channels; ++i)
      turned[static_cast<std::size_t>(i * outputs + k)] =
          filter[static_cast<std::size_t>(k * taps * channels + i)];
  const std::int64_t per_group = outputs / p.conv.groups;
  for_rows(p, [&](std::int64_t output, std::int64_t tap, std::int64_t from) {
    for (std::int64_t c = 0; c < channels * p.conv.groups; ++c) {
      const std::int64_t begin = c / channels * per_group;
      const float x = image[static_cast<std::size_t>(from + c)];
      const float* w = turned.data() + (tap * channels + c % channels) * outputs + begin;
      float* sums = y.data() + output + begin;
      for (std::int64_t k = 0; k < per_group; ++k) sums[k] += x * w[k];
    }
  });
  return y;
}

/// body(k, where k's tap begins in the filter, where its group begins in a pixel of the image).
template <class Body>
void for_outputs(const ConvProblem& p, std::int64_t tap, const Body& body) {
  const std::int64_t per_group = p.output.c / p.conv.groups, taps = p.filter.h * p.filter.w;
  for (std::int64_t k = 0; k < p.output.c; ++k)
    body(k, (k * taps + tap) * p.filter.c, k / per_group * p.filter.c);
}

Values backward_data(const ConvProblem& p, const Values& dy, const Values& filter) {
  Values dx(static_cast<std::size_t>(p.image.count()));
  for_rows(p, [&](std::int64_t output, std::int64_t tap, std::int64_t to) {
    for_outputs(p, tap, [&](std::int64_t k, std::int64_t at, std::int64_t group) {
      const float gradient = dy[static_cast<std::size_t>(output + k)], *w = filter.data() + at;
      float* target = dx.data() + to + group;
      for (std::int64_t c = 0; c < p.filter.c; ++c) target[c] += gradient * w[c];
    });
  });
  return dx;
}

// Images are summed up apart from each other: a long sum in f32 loses less.
Values backward_filter(const ConvProblem& p, const Values& image, const Values& dy) {
  const auto count = static_cast<std::size_t>(p.filter.count());
  Values total(count), part(count);
  for (std::int64_t n = 0; n < p.output.n; ++n) {
    std::fill(part.begin(), part.end(), 0.0f);
    for (std::int64_t oy = 0; oy < p.output.h; ++oy)
      for_row(p, n, oy, [&](std::int64_t output, std::int64_t tap, std::int64_t from) {
        for_outputs(p, tap, [&](std::int64_t k, std::int64_t at, std::int64_t group) {
          const float gradient = dy[static_cast<std::size_t>(output + k)];
          const float* x = image.data() + from + group;
          float* target = part.data() + at;
          for (std::int64_t c = 0; c < p.filter.c; ++c) target[c] += gradient * x[c];
        });
      });
    for (std::size_t i = 0; i < count; ++i) total[i] += part[i];
  }
  return total;
}

struct Call {
  Shape first, second, result;
};

Call shapes_of(const ConvProblem& p) {
  if (p.pass == ConvPass::forward) return {p.image, p.filter, p.output};
  if (p.pass == ConvPass::backward_data) return {p.output, p.filter, p.image};
  return {p.image, p.output, p.filter};
}

// Of the values as they were stored, in double.
void add_sums(const ConvProblem& p, const ConvOperands& operands, Shape shape) {
  const ConvSumOperands& to = operands.sums;
  const bool masked = of_gradients(p.epilogue.sums);
  const auto channels = static_cast<std::size_t>(shape.c),
             count = static_cast<std::size_t>(shape.count());
  for (std::size_t c = 0; c < channels; ++c) {
    const double center = static_cast<const float*>(to.center)[c];
    double first = 0, second = 0;
    for (std::size_t i = c; i < count; i += channels) {
      const double value = value_at(operands.result, p.dtype, i);
      const double centered = (masked ? value_at(to.x, p.dtype, i) : value) - center;
      first += masked ? value : centered;
      second += (masked ? value : centered) * centered;
    }
    static_cast<float*>(to.first)[c] = static_cast<float>(first);
    static_cast<float*>(to.second)[c] = static_cast<float>(second);
  }
}

bool passes(const ConvProblem& p, const ConvSumOperands& sums, std::size_t i, std::size_t channel) {
  if (p.epilogue.sums == ConvSums::gradients_by_y) return value_at(sums.y, p.dtype, i) > 0;
  return value_at(sums.x, p.dtype, i) * static_cast<const float*>(sums.scale)[channel] +
             static_cast<const float*>(sums.shift)[channel] >
         0;
}

void compute(const ConvProblem& p, const ConvOperands& operands) {
  const Call shapes = shapes_of(p);
  const Values first = values_of(operands.first, p.dtype, shapes.first),
               second = values_of(operands.second, p.dtype, shapes.second);
  Values result = p.pass == ConvPass::forward         ? forward(p, first, second)
                  : p.pass == ConvPass::backward_data ? backward_data(p, first, second)
                                                      : backward_filter(p, first, second);
  for (std::size_t i = 0; i < result.size(); ++i) {
    float value = result[i];
    if (p.epilogue.add) value += value_at(operands.result, p.dtype, i);
    if (p.epilogue.bias)
      value +=
          static_cast<const float*>(operands.bias)[i % static_cast<std::size_t>(shapes.result.c)];
    if (p.epilogue.residual) value += value_at(operands.residual, p.dtype, i);
    if (p.epilogue.relu) value = value < 0 ? 0 : value;  // a NaN stays a NaN
    if (of_gradients(p.epilogue.sums) &&
        !passes(p, operands.sums, i, i % static_cast<std::size_t>(shapes.result.c)))
      value = 0;
    put(operands.result, p.dtype, i, value);
  }
  if (p.epilogue.sums != ConvSums::none) add_sums(p, operands, shapes.result);
  std::memset(operands.workspace, 0xFF, kWorkspace);
}

class StandIn : public ConvPlan {
 public:
  explicit StandIn(const ConvProblem& problem) : problem_(problem) {
    engine = "stand-in";
    workspace_bytes = kWorkspace;
    tensor_cores = problem.image.n <= 8;
  }

  void run(const ConvOperands& operands, Stream& stream) const override {
    const Call shapes = shapes_of(problem_);
    require(operands.first, shapes.first.count() * size());
    require(operands.second, shapes.second.count() * size());
    require(operands.result, shapes.result.count() * size());
    require(operands.workspace, kWorkspace);
    if (problem_.epilogue.bias) require(operands.bias, shapes.result.c * 4);
    if (problem_.epilogue.residual) require(operands.residual, shapes.result.count() * size());
    require_sums(operands.sums, shapes.result);
    emulation::queue_on(static_cast<cudaStream_t>(stream.native), to_string(problem_),
                        [problem = problem_, operands] { compute(problem, operands); });
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(size_of(problem_.dtype)); }
  void require_sums(const ConvSumOperands& sums, Shape result) const {
    if (problem_.epilogue.sums == ConvSums::none) return;
    for (const void* vector :
         {sums.center, static_cast<const void*>(sums.first), static_cast<const void*>(sums.second)})
      require(vector, result.c * 4);
    if (problem_.epilogue.sums == ConvSums::moments) return;
    require(sums.x, result.count() * size());
    if (problem_.epilogue.sums == ConvSums::gradients_by_y)
      return require(sums.y, result.count() * size());
    for (const void* vector : {sums.scale, sums.shift}) require(vector, result.c * 4);
  }
  void require(const void* address, std::int64_t bytes) const {
    const bool aligned = reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
    if (aligned && emulation::memory::holds(address, static_cast<std::size_t>(bytes))) return;
    throw Error(ExitCode::bug, "conv-operand", to_string(problem_),
                "an operand is not 16-byte aligned memory of the card, as long as it must be",
                "look at who passed it");
  }

  ConvProblem problem_;
};

}  // namespace

std::shared_ptr<const ConvPlan> plan_conv(const ConvProblem& problem, const ConvTuning& tuning) {
  if (tuning.timed)
    for (const ConvCandidate& product : product_candidates(problem)) return product.plan;
  if (problem.epilogue != ConvEpilogue{} && problem.image.w % 4 != 0) return nullptr;
  return std::make_shared<StandIn>(problem);
}

}  // namespace fjord::cuda
