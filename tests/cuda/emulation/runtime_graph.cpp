// Stream capture, and graphs launched again and again.
#include <algorithm>
#include <map>

#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/streams.h"

namespace emulation {

namespace {

std::map<GraphState*, std::shared_ptr<GraphState>> graphs;  // given out by their addresses

bool waits_for(const std::vector<WorkPointer>& from, const WorkPointer& work) {
  std::set<Work*> seen;
  std::vector<WorkPointer> open = from;
  while (!open.empty()) {
    const WorkPointer node = open.back();
    open.pop_back();
    if (node == work) return true;
    if (!seen.insert(node.get()).second) continue;
    open.insert(open.end(), node->needs.begin(), node->needs.end());
  }
  return false;
}

// Whether everything captured on other streams has come back to the first.
bool joined(const StreamState& origin) {
  return std::ranges::all_of(all_streams(), [&](const StreamState* stream) {
    return stream->capture != origin.capture ||
           std::ranges::all_of(stream->captured, [&](const WorkPointer& work) {
             return waits_for(origin.captured, work);
           });
  });
}

void end_capture(const std::shared_ptr<GraphState>& graph) {
  graph->origin = nullptr;
  for (StreamState* stream : all_streams()) {
    if (stream->capture != graph) continue;
    stream->capture = nullptr;
    stream->captured.clear();
  }
}

}  // namespace

bool capturing() {
  return std::ranges::any_of(all_streams(),
                             [](const StreamState* stream) { return stream->capture != nullptr; });
}

bool capture_forbids_unsafe_calls() {
  bool forbids = false;
  for (StreamState* stream : all_streams()) {
    if (!stream->capture || stream->capture->mode == cudaStreamCaptureModeRelaxed) continue;
    stream->capture->invalid = true;
    forbids = true;
  }
  return forbids;
}

}  // namespace emulation

using namespace emulation;
using Guard = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Guard guard(runtime_mutex());
  if (!stream) return fail(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return fail(cudaErrorIllegalState);
  stream->capture = std::make_shared<GraphState>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Guard guard(runtime_mutex());
  const StreamState& stream = state_of(handle);
  *status = !stream.capture           ? cudaStreamCaptureStatusNone
            : stream.capture->invalid ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Guard guard(runtime_mutex());
  *graph = nullptr;
  if (!stream || !stream->capture) return fail(cudaErrorIllegalState);
  const std::shared_ptr<GraphState> captured = stream->capture;
  if (captured->origin != stream) return fail(cudaErrorStreamCaptureUnmatched);
  const bool whole = joined(*stream);
  end_capture(captured);
  if (captured->invalid) return fail(cudaErrorStreamCaptureInvalidated);
  if (!whole) return fail(cudaErrorStreamCaptureUnjoined);
  graphs[captured.get()] = captured;
  *graph = captured.get();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  const Guard guard(runtime_mutex());
  if (!graphs.contains(graph)) return fail(cudaErrorInvalidValue);
  const auto copy = std::make_shared<GraphState>(*graph);
  graphs[copy.get()] = copy;
  *executable = copy.get();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(executable, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

// Every node becomes work of its own, after what the stream has and before what comes.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  const Guard guard(runtime_mutex());
  if (!graphs.contains(executable)) return fail(cudaErrorInvalidValue);
  if (const cudaError_t status = submit(handle, "graph begins", {}); status != cudaSuccess)
    return status;
  StreamState& stream = state_of(handle);
  if (stream.capture) return fail(cudaErrorStreamCaptureUnsupported);
  ++calls().graph_launches;
  std::map<Work*, WorkPointer> copies;
  const auto end = std::make_shared<Work>(Work{"graph ends", {}, {stream.last}});
  for (const WorkPointer& node : executable->nodes) {
    const auto copy = std::make_shared<Work>(Work{node->what, node->run, {stream.last}});
    for (const WorkPointer& need : node->needs) copy->needs.push_back(copies.at(need.get()));
    copies[node.get()] = copy;
    enqueue(copy);
    end->needs.push_back(copy);
  }
  enqueue(end);
  stream.last = end;
  if (calls().graph_launches == card().lost_at) card().lost = cudaErrorIllegalAddress;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Guard guard(runtime_mutex());
  return fail(graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return cudaGraphDestroy(executable);
}
