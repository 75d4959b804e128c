// Streams and events: what waits for what.
#include <algorithm>
#include <utility>

#include "tests/cuda/emulation/runtime.h"
#include "tests/cuda/emulation/streams.h"

namespace emulation {

namespace {

StreamState null_stream;

std::vector<WorkPointer> needs_of(StreamState& stream) {
  std::vector<WorkPointer> needs{stream.last};
  if (&stream == &null_stream) {
    for (StreamState* other : all_streams())
      if (other->blocking) needs.push_back(other->last);
  } else if (stream.blocking) {
    needs.push_back(null_stream.last);
  }
  return needs;
}

bool implicit_use(const StreamState& stream) {
  return &stream == &null_stream && std::ranges::any_of(all_streams(), [](StreamState* other) {
    return other->capture && other->blocking;
  });
}

}  // namespace

std::set<StreamState*>& all_streams() {
  static std::set<StreamState*> streams;
  return streams;
}

StreamState& state_of(cudaStream_t stream) { return stream ? *stream : null_stream; }

cudaError_t submit(cudaStream_t handle, std::string what, std::function<void()> run) {
  const std::lock_guard guard(runtime_mutex());
  if (card().lost != cudaSuccess) return fail(card().lost);
  if (handle && !all_streams().contains(handle)) return fail(cudaErrorInvalidResourceHandle);
  StreamState& stream = state_of(handle);
  const auto work = std::make_shared<Work>(Work{std::move(what), std::move(run), {}});
  if (stream.capture) {
    if (stream.capture->invalid) return fail(cudaErrorStreamCaptureInvalidated);
    work->needs = stream.captured;
    stream.captured = {work};
    stream.capture->nodes.push_back(work);
    return cudaSuccess;
  }
  if (implicit_use(stream)) return fail(cudaErrorStreamCaptureImplicit);
  work->needs = needs_of(stream);
  enqueue(work);
  stream.last = work;
  return cudaSuccess;
}

void queue_on(cudaStream_t stream, std::string what, std::function<void()> work) {
  calls().launches += !state_of(stream).capture;
  submit(stream, std::move(what), std::move(work));
}

}  // namespace emulation

using namespace emulation;
using Guard = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Guard guard(runtime_mutex());
  *stream = new StreamState;
  (*stream)->blocking = (flags & cudaStreamNonBlocking) == 0;
  all_streams().insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Guard guard(runtime_mutex());
  if (all_streams().erase(stream) == 0) return fail(cudaErrorInvalidResourceHandle);
  delete stream;  // its work keeps itself alive
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Guard guard(runtime_mutex());
  ++calls().waits;
  StreamState& stream = state_of(handle);
  if (stream.capture) {
    stream.capture->invalid = true;
    return fail(cudaErrorStreamCaptureUnsupported);
  }
  if (implicit_use(stream)) return fail(cudaErrorStreamCaptureImplicit);
  if (&stream == &null_stream)
    for (const WorkPointer& work : needs_of(stream)) run_until(work);
  run_until(stream.last);
  return outcome();
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Guard guard(runtime_mutex());
  ++calls().waits;
  StreamState& stream = state_of(handle);
  if (stream.capture) {
    stream.capture->invalid = true;
    return fail(cudaErrorStreamCaptureUnsupported);
  }
  if (!stream.last || stream.last->done) return outcome();
  run_one();
  return cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  const Guard guard(runtime_mutex());
  ++calls().waits;
  if (capturing()) return fail(cudaErrorStreamCaptureUnsupported);
  run_all();
  return outcome();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*function)(void*), void* data) {
  return submit(stream, "host function", [=] { function(data); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Guard guard(runtime_mutex());
  StreamState& stream = state_of(handle);
  if (!event->recorded) return cudaSuccess;
  if (event->capture) {
    if (stream.capture && stream.capture != event->capture)
      return fail(cudaErrorStreamCaptureMerge);
    if (!event->capture->origin) return fail(cudaErrorCapturedEvent);
    stream.capture = event->capture;
    stream.captured.insert(stream.captured.end(), event->captured.begin(), event->captured.end());
    return cudaSuccess;
  }
  if (stream.capture) {
    stream.capture->invalid = true;
    return fail(cudaErrorStreamCaptureIsolation);
  }
  const auto meeting = std::make_shared<Work>(Work{"wait", {}, needs_of(stream)});
  meeting->needs.push_back(event->work);
  enqueue(meeting);
  stream.last = meeting;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EventState;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Guard guard(runtime_mutex());
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Guard guard(runtime_mutex());
  StreamState& stream = state_of(handle);
  event->recorded = true;
  event->capture = stream.capture;
  event->captured = stream.captured;
  event->work = nullptr;
  if (stream.capture) return cudaSuccess;
  const cudaError_t status = submit(handle, "event", {});
  event->work = stream.last;
  return status;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Guard guard(runtime_mutex());
  if (event->capture) {
    event->capture->invalid = true;
    return fail(cudaErrorCapturedEvent);
  }
  ++calls().event_waits;
  calls().held_up += event->work && !event->work->done;
  run_until(event->work);
  return outcome();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Guard guard(runtime_mutex());
  ++calls().waits;
  if (event->capture) {
    event->capture->invalid = true;
    return fail(cudaErrorCapturedEvent);
  }
  if (!event->work || event->work->done) return outcome();
  run_one();
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 0;  // nothing here says how long a card would take
  return cudaSuccess;
}
