// What travels between host and card: batches, losses, small uploads.
#include "kernels/cuda/device_copies.h"

#include <cstring>

namespace fjord::cuda {

namespace {

std::string mib(std::size_t bytes) {
  return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / 0x1p20);
}

}  // namespace

void* allocate_on_card(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // else the next call would report it again
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "asking for free memory");
    throw Error(ExitCode::device, "device-memory",
                fmt::format("{} ({} bytes) could not be had", mib(bytes), bytes),
                fmt::format("{} of the card's {} are free", mib(free), mib(total)),
                "use a smaller --batch or --size, or end other programs on the card");
  }
  check_cuda(status, "allocation of memory");
  return data;
}

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream), "copying memory");
}

namespace {

// The copy stream carries the next batch to the card while a step runs; the step's own stream then
// moves it into place, which takes microseconds.
class CudaStaging : public Staging {
 public:
  explicit CudaStaging(std::size_t bytes) : bytes_(bytes) {}
  ~CudaStaging() override { cudaStreamSynchronize(copies_.stream); }

  std::byte* host() override {
    turn().arrived.wait();
    return turn().host.at();
  }
  void send(void* to, Stream& stream) override {
    Buffers& b = turn();
    b.taken.hold_back(copies_.stream);
    copy(b.card.data, b.host.data, bytes_, cudaMemcpyHostToDevice, copies_.stream);
    b.arrived.record(copies_.stream);
    b.arrived.hold_back(native(stream));
    copy(to, b.card.data, bytes_, cudaMemcpyDeviceToDevice, native(stream));
    b.taken.record(native(stream));
    turn_ = 1 - turn_;
  }

 private:
  struct CardMemory {
    explicit CardMemory(std::size_t bytes) : data(allocate_on_card(bytes)) {}
    ~CardMemory() { cudaFree(data); }
    CardMemory(const CardMemory&) = delete;
    void* data;
  };
  struct Buffers {
    explicit Buffers(std::size_t bytes) : host(bytes), card(bytes) {}
    Pinned host;
    CardMemory card;
    Event arrived, taken;
  };
  Buffers& turn() { return buffers_[static_cast<std::size_t>(turn_)]; }

  const std::size_t bytes_;
  OwnStream copies_;
  std::array<Buffers, 2> buffers_{Buffers(bytes_), Buffers(bytes_)};
  int turn_ = 0;
};

class CudaMailbox : public Mailbox {
 public:
  explicit CudaMailbox(std::size_t bytes) : bytes_(bytes), letters_(bytes * kCapacity) {}
  ~CudaMailbox() override {  // nobody may write to the letters once they are gone
    for (const Event& event : events_) cudaEventSynchronize(event.event);
  }

  void post(const void* from, Stream& stream) override {
    check(posted_ - taken_ < kCapacity, "Mailbox", "{} letters are under way", kCapacity);
    copy(letters_.at(slot(posted_) * bytes_), from, bytes_, cudaMemcpyDeviceToHost, native(stream));
    events_[slot(posted_++)].record(native(stream));
  }
  void take(void* to) override {
    check(taken_ < posted_, "Mailbox", "no letter is under way");
    events_[slot(taken_)].wait();
    std::memcpy(to, letters_.at(slot(taken_++) * bytes_), bytes_);
  }

 private:
  static std::size_t slot(std::int64_t i) { return static_cast<std::size_t>(i % kCapacity); }

  const std::size_t bytes_;
  Pinned letters_;
  std::array<Event, kCapacity> events_;
  std::int64_t posted_ = 0, taken_ = 0;
};

}  // namespace

void SmallUploads::send(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  Event& event = events_[next_];
  event.wait();
  std::byte* slot = memory_.at(next_ * kBytes);
  std::memcpy(slot, from, bytes);
  copy(to, slot, bytes, cudaMemcpyHostToDevice, stream);
  event.record(stream);
  next_ = (next_ + 1) % kSlots;
}

std::unique_ptr<Staging> make_staging(std::size_t bytes) {
  return std::make_unique<CudaStaging>(bytes);
}

std::unique_ptr<Mailbox> make_mailbox(std::size_t bytes) {
  return std::make_unique<CudaMailbox>(bytes);
}

}  // namespace fjord::cuda
