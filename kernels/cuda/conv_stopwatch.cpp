// How long a plan of a convolution takes on the card present.
#include "kernels/cuda/conv_stopwatch.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/device.h"
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

/// Memory for all that an epilogue may ask for.
class Operands {
 public:
  explicit Operands(const ConvProblem& p)
      : pass_(p.pass),
        result_(p.pass == ConvPass::forward ? p.output : p.image),
        size_(size_of(p.dtype)),
        image_(bytes(p.image)),
        filter_(bytes(p.filter)),
        output_(bytes(p.output)),
        vector_(vector_bytes()),
        residual_(p.epilogue.residual ? bytes(result_) : 0),
        x_(of_gradients(p.epilogue.sums) ? bytes(result_) : 0),
        first_sum_(vector_bytes()),
        second_sum_(vector_bytes()),
        workspace_(kConvWorkspaceBytes) {}

  ConvOperands addresses() const {
    ConvOperands to{image_.data(),
                    filter_.data(),
                    vector_.data(),
                    output_.data(),
                    workspace_.data(),
                    residual_.data(),
                    {.center = vector_.data(),
                     .first = first_sum_.data(),
                     .second = second_sum_.data(),
                     .x = x_.data(),
                     .scale = vector_.data(),
                     .shift = vector_.data(),
                     .y = x_.data()}};
    if (pass_ == ConvPass::backward_data) to.first = output_.data(), to.result = image_.data();
    if (pass_ == ConvPass::backward_filter) to.second = output_.data(), to.result = filter_.data();
    return to;
  }

 private:
  std::size_t bytes(Shape shape) const { return static_cast<std::size_t>(shape.count()) * size_; }
  std::size_t vector_bytes() const { return static_cast<std::size_t>(result_.c) * sizeof(float); }

  ConvPass pass_;
  Shape result_;
  std::size_t size_;
  Memory image_, filter_, output_, vector_, residual_, x_, first_sum_, second_sum_, workspace_;
};

// Runs behind each other in a graph, as in a step, so that ten share one launch.
float milliseconds_of(const ConvPlan& plan, const ConvOperands& operands) {
  constexpr int runs = 10, warm_up = 1, launches = 5;
  Device& card = cuda_device();
  Stream stream = card.stream();
  const Event begin, end;
  float best = std::numeric_limits<float>::infinity();
  try {
    plan.run(operands, stream);
    const auto recording = card.record(stream, [&] {
      for (int i = 0; i < runs; ++i) plan.run(operands, stream);
    });
    for (int i = -warm_up; i < launches; ++i) {
      check_cuda(cudaEventRecord(begin.get(), native(stream)), "timing");
      recording->launch(stream);
      check_cuda(cudaEventRecord(end.get(), native(stream)), "timing");
      check_cuda(cudaEventSynchronize(end.get()), "timing");
      float milliseconds = 0;
      check_cuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timing");
      if (i >= 0) best = std::min(best, milliseconds / runs);
    }
  } catch (const Error&) {
    return std::numeric_limits<float>::infinity();
  }
  return best;
}

}  // namespace

Stopwatch card_stopwatch(const ConvProblem& problem) {
  // Allocated when first needed: by then whoever timed a part of the problem has given his back.
  return [problem, operands = std::shared_ptr<const Operands>()](const ConvPlan& plan) mutable {
    if (!operands) operands = std::make_shared<const Operands>(problem);
    return milliseconds_of(plan, operands->addresses());
  };
}

}  // namespace fjord::cuda
