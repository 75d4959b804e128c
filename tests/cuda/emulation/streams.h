// Streams, events and graphs as the stand-in keeps them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/cuda/emulation/queue.h"
#include "tests/cuda/emulation/runtime_types.h"

namespace emulation {

/// Captured work. While it is captured, `origin` is the stream that began it.
struct GraphState {
  std::vector<WorkPointer> nodes;
  StreamState* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool invalid = false;
};

struct StreamState {
  WorkPointer last;
  bool blocking = true;  // orders itself with the null stream
  std::shared_ptr<GraphState> capture;
  std::vector<WorkPointer> captured;  // what the next captured work waits for
};

struct EventState {
  WorkPointer work;
  std::shared_ptr<GraphState> capture;
  std::vector<WorkPointer> captured;
  bool recorded = false;
};

/// Remembers an error for cudaGetLastError and gives it back.
cudaError_t fail(cudaError_t status);
/// One call of the runtime at a time.
std::recursive_mutex& runtime_mutex();

/// Queues or captures work on a stream (null: the legacy stream).
cudaError_t submit(cudaStream_t stream, std::string what, std::function<void()> run);
StreamState& state_of(cudaStream_t stream);
std::set<StreamState*>& all_streams();

/// Whether a capture forbids calls that might touch the whole device, such as cudaMalloc.
bool capture_forbids_unsafe_calls();
bool capturing();
/// What a waiting call answers: the faults found, if any are new.
cudaError_t outcome();

}  // namespace emulation
