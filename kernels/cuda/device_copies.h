// What travels between host and card, and what it travels through.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <memory>
#include <mutex>

#include "kernels/cuda/launch.h"
#include "kernels/device.h"

namespace fjord::cuda {

struct Event {
  Event() {
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;

  void record(cudaStream_t stream) {
    check_cuda(cudaEventRecord(event, stream), "marking a point of a stream");
  }
  void hold_back(cudaStream_t stream) const {
    check_cuda(cudaStreamWaitEvent(stream, event, 0), "making a stream wait");
  }
  void wait() const { check_cuda(cudaEventSynchronize(event), "waiting for the card"); }

  cudaEvent_t event = nullptr;
};

/// Host memory that the card reads and writes by itself.
struct Pinned {
  explicit Pinned(std::size_t bytes) {
    check_cuda(cudaHostAlloc(&data, bytes, cudaHostAllocDefault), "allocation of pinned memory");
  }
  ~Pinned() { cudaFreeHost(data); }
  Pinned(const Pinned&) = delete;

  std::byte* at(std::size_t offset = 0) const { return static_cast<std::byte*>(data) + offset; }

  void* data = nullptr;
};

struct OwnStream {
  OwnStream() {
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  }
  ~OwnStream() { cudaStreamDestroy(stream); }
  OwnStream(const OwnStream&) = delete;

  cudaStream_t stream = nullptr;
};

/// Memory of the card, or Error{device, "device-memory"} with what is free.
void* allocate_on_card(std::size_t bytes);

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);

/// Pinned slots through which small uploads go, so that they neither wait nor need their source.
class SmallUploads {
 public:
  static constexpr std::size_t kBytes = 4096;

  void send(void* to, const void* from, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kSlots = 16;
  std::mutex mutex_;
  Pinned memory_{kSlots * kBytes};
  std::array<Event, kSlots> events_;
  std::size_t next_ = 0;
};

std::unique_ptr<Staging> make_staging(std::size_t bytes);
std::unique_ptr<Mailbox> make_mailbox(std::size_t bytes);

}  // namespace fjord::cuda
