// Streams, events and captured graphs: what is not ordered runs in another order sooner or later.
#include <doctest/doctest.h>

#include "tests/cuda/selftest/kernels.h"
#include "tests/cuda/selftest/memory.h"

namespace fjord::selftest {

namespace {

struct TwoStreams {
  TwoStreams() {
    cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  }
  ~TwoStreams() {
    cudaStreamDestroy(first);
    cudaStreamDestroy(second);
    cudaEventDestroy(event);
  }
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t event = nullptr;
};

enum class Event : std::uint8_t { waited_for, forgotten };

// y = 0 on one stream, y += 1 on the other: 1 when ordered.
float clear_then_increment(Event event) {
  const TwoStreams streams;
  const OnCard<float> y({7});
  cudaMemsetAsync(y.data(), 0, y.bytes(), streams.first);
  cudaEventRecord(streams.event, streams.first);
  if (event == Event::waited_for) cudaStreamWaitEvent(streams.second, streams.event);
  increment(y.data(), 1, streams.second);
  cudaDeviceSynchronize();
  return y.values()[0];
}

int wrong_of(int runs, Event event) {
  int wrong = 0;
  for (int i = 0; i < runs; ++i) {
    emulation::seed(static_cast<std::uint64_t>(i));
    wrong += clear_then_increment(event) != 1;
  }
  return wrong;
}

}  // namespace

TEST_CASE("a forgotten event shows, an event that is waited for holds") {
  CHECK(wrong_of(40, Event::waited_for) == 0);
  CHECK(wrong_of(40, Event::forgotten) > 5);
}

TEST_CASE("work runs when it is waited for, so results read too early are old") {
  const TwoStreams streams;
  const OnCard<float> y({7});
  float* host = nullptr;
  cudaHostAlloc(&host, sizeof(float), cudaHostAllocDefault);
  *host = 0;
  cudaMemcpyAsync(host, y.data(), y.bytes(), cudaMemcpyDeviceToHost, streams.first);
  CHECK(*host == 0);
  cudaStreamSynchronize(streams.first);
  CHECK(*host == 7);
  cudaFreeHost(host);
}

TEST_CASE("a captured graph with a fork runs whole each time, with its own addresses") {
  const TwoStreams streams;
  const OnCard<float> y({0}), z({0});
  cudaEvent_t back = nullptr;
  cudaEventCreate(&back);
  CHECK(cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  increment(y.data(), 1, streams.first);
  cudaEventRecord(streams.event, streams.first);
  cudaStreamWaitEvent(streams.second, streams.event);
  increment(z.data(), 1, streams.second);
  increment(y.data(), 1, streams.first);
  cudaEventRecord(back, streams.second);
  cudaStreamWaitEvent(streams.first, back);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(streams.first, &graph) == cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  CHECK(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  cudaDeviceSynchronize();
  CHECK(y.values()[0] == 0);  // captured, not run
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, streams.first) == cudaSuccess);
  cudaStreamSynchronize(streams.first);
  CHECK(y.values()[0] == 6);
  CHECK(z.values()[0] == 3);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaEventDestroy(back);
}

TEST_CASE("what a capture forbids is refused as CUDA does") {
  const TwoStreams streams;
  const OnCard<float> y({0});
  cudaGraph_t graph = nullptr;
  cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeGlobal);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 256) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(streams.first, &graph) == cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeRelaxed);
  CHECK(cudaMalloc(&memory, 256) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaStreamSynchronize(streams.first) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaDeviceSynchronize() == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(streams.first, &graph) == cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(streams.first, cudaStreamCaptureModeRelaxed);
  cudaEventRecord(streams.event, streams.first);
  cudaStreamWaitEvent(streams.second, streams.event);
  increment(y.data(), 1, streams.second);
  CHECK(cudaStreamEndCapture(streams.first, &graph) == cudaErrorStreamCaptureUnjoined);
  CHECK(graph == nullptr);
  cudaGetLastError();
}

TEST_CASE("launches that a card would refuse are refused") {
  const OnCard<float> y({0});
  CHECK(cudaGetLastError() == cudaSuccess);
  shared_stride(y.data(), 1000, nullptr);  // 125 KB of shared memory, not asked for
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  increment(y.data(), 0, nullptr);  // no block
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  emulation::card().memory_bytes = 1 << 20;
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 2 << 20) == cudaErrorMemoryAllocation);
  emulation::card() = {};
  cudaGetLastError();
}

TEST_CASE("copies between places that are not what they say are faults") {
  const OnCard<float> y({0});
  float host = 0;
  CHECK(cudaMemcpy(y.data(), &host, 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(&host, y.data(), 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK_FALSE(finish().empty());
  cudaGetLastError();
}

}  // namespace fjord::selftest
