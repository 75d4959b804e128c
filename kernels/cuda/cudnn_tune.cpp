// The fastest plan of a convolution, timed on the card with operands of zeros.
#include <algorithm>
#include <limits>

#include "kernels/cuda/cudnn_plan.h"
#include "kernels/cuda/launch.h"

namespace fjord::cuda {

namespace {

class Memory {
 public:
  explicit Memory(std::size_t bytes) {
    check_cuda(cudaMalloc(&data_, bytes > 0 ? bytes : 16), "memory to time convolutions");
    check_cuda(cudaMemset(data_, 0, bytes), "memory to time convolutions");
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

class Event {
 public:
  Event() { check_cuda(cudaEventCreate(&event_), "event to time convolutions"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Milliseconds of one run; infinity when the plan does not run.
float milliseconds_of(const CudnnPlan& plan, const ConvOperands& operands, Stream& stream) {
  constexpr int warm_up = 2, runs = 5;
  const Event begin, end;
  float best = std::numeric_limits<float>::infinity();
  try {
    for (int i = -warm_up; i < runs; ++i) {
      check_cuda(cudaEventRecord(begin.get(), native(stream)), "timing");
      plan.run(operands, stream);
      check_cuda(cudaEventRecord(end.get(), native(stream)), "timing");
      check_cuda(cudaEventSynchronize(end.get()), "timing");
      float milliseconds = 0;
      check_cuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timing");
      if (i >= 0) best = std::min(best, milliseconds);
    }
  } catch (const Error&) {
    return std::numeric_limits<float>::infinity();
  }
  return best;
}

}  // namespace

std::shared_ptr<const CudnnPlan> fastest_plan(const ConvProblem& problem,
                                              const std::shared_ptr<const CudnnDevice>& device) {
  const std::size_t size = size_of(problem.dtype);
  const auto bytes = [&](Shape shape) { return static_cast<std::size_t>(shape.count()) * size; };
  const Shape result = problem.pass == ConvPass::forward ? problem.output : problem.image;
  const Memory image(bytes(problem.image)), filter(bytes(problem.filter)),
      output(bytes(problem.output)), vector(static_cast<std::size_t>(result.c) * 4),
      residual(problem.epilogue.residual ? bytes(result) : 0), workspace(kConvWorkspaceBytes);
  const bool masked = problem.epilogue.sums == ConvSums::gradients;
  const Memory x(masked ? bytes(result) : 0), first_sum(static_cast<std::size_t>(result.c) * 4),
      second_sum(static_cast<std::size_t>(result.c) * 4);
  ConvOperands operands{image.data(),
                        filter.data(),
                        vector.data(),
                        output.data(),
                        workspace.data(),
                        residual.data(),
                        {.center = vector.data(),
                         .first = first_sum.data(),
                         .second = second_sum.data(),
                         .x = x.data(),
                         .scale = vector.data(),
                         .shift = vector.data()}};
  if (problem.pass == ConvPass::backward_data)
    operands.first = output.data(), operands.result = image.data();
  if (problem.pass == ConvPass::backward_filter)
    operands.second = output.data(), operands.result = filter.data();

  Stream stream{Backend::cuda, nullptr};
  std::shared_ptr<const CudnnPlan> best;
  float shortest = std::numeric_limits<float>::infinity();
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B}) {
    const ConvGraph graph = conv_graph(problem);
    for (const Candidate& c : candidates(graph, *device, mode)) {
      if (!allowed(c, problem)) continue;
      const auto plan = plan_of(problem, c.choice, device);
      if (!plan) continue;
      const float time = milliseconds_of(*plan, operands, stream);
      if (time < shortest) shortest = time, best = plan;
    }
  }
  return best;
}

}  // namespace fjord::cuda
