// The card as a device: memory, two streams, pinned buffers, recorded graphs.
#include "kernels/cuda/device.h"

#include <cuda_runtime.h>

#include <array>
#include <cstring>
#include <mutex>

#include "kernels/cuda/launch.h"

namespace fjord {

namespace {

constexpr int kOldestCard = 75, kFirstBf16Card = 80;

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

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream), "copying memory");
}

std::string mib(std::size_t bytes) {
  return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / 0x1p20);
}

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

class Graph : public Recording {
 public:
  explicit Graph(cudaGraph_t graph) {
    const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(status, "preparing a recorded step");
  }
  ~Graph() override { cudaGraphExecDestroy(exec_); }
  void launch(Stream& stream) override {
    check_cuda(cudaGraphLaunch(exec_, native(stream)), "launching a recorded step");
  }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

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

/// Pinned slots through which small uploads go, so that they neither wait nor need their source.
class SmallUploads {
 public:
  static constexpr std::size_t kBytes = 4096;

  void send(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    Event& event = events_[next_];
    event.wait();
    std::byte* slot = memory_.at(next_ * kBytes);
    std::memcpy(slot, from, bytes);
    copy(to, slot, bytes, cudaMemcpyHostToDevice, stream);
    event.record(stream);
    next_ = (next_ + 1) % kSlots;
  }

 private:
  static constexpr std::size_t kSlots = 16;
  std::mutex mutex_;
  Pinned memory_{kSlots * kBytes};
  std::array<Event, kSlots> events_;
  std::size_t next_ = 0;
};

class CudaDevice : public Device {
 public:
  CudaDevice(std::string name, int capability) : name_(std::move(name)), capability_(capability) {}

  std::string name() const override { return name_; }
  bool is_host() const override { return false; }
  DeviceMemory memory() const override {
    DeviceMemory memory;
    check_cuda(cudaMemGetInfo(&memory.free, &memory.total), "asking for free memory");
    return memory;
  }
  bool fast_in(DType type) const override {
    return type == DType::f16 || (type == DType::bf16 && capability_ >= kFirstBf16Card);
  }
  bool has_tf32() const override { return capability_ >= kFirstBf16Card; }

  void* allocate(std::size_t bytes) override {
    if (bytes == 0) return nullptr;
    void* data = allocate_on_card(bytes);
    check_cuda(cudaMemsetAsync(data, 0, bytes, main_.stream), "clearing memory");
    return data;
  }
  void release(void* data, std::size_t) noexcept override {
    cudaStreamSynchronize(main_.stream);
    cudaFree(data);
  }

  void upload(void* to, const void* from, std::size_t bytes, Stream& stream) override {
    if (bytes <= SmallUploads::kBytes) return small_.send(to, from, bytes, native(stream));
    // From memory that is not pinned: returns when the bytes are taken.
    copy(to, from, bytes, cudaMemcpyHostToDevice, native(stream));
  }
  void download(void* to, const void* from, std::size_t bytes, Stream& stream) override {
    copy(to, from, bytes, cudaMemcpyDeviceToHost, native(stream));
    synchronize(stream);
  }
  void fill(void* to, std::uint8_t value, std::size_t bytes, Stream& stream) override {
    check_cuda(cudaMemsetAsync(to, value, bytes, native(stream)), "filling memory");
  }
  void synchronize(Stream& stream) override {
    check_cuda(cudaStreamSynchronize(native(stream)), "the work queued before");
  }

  Stream stream() override { return {Backend::cuda, main_.stream}; }
  Stream side_stream() override { return {Backend::cuda, side_.stream}; }
  void fork(Stream& main, Stream& side) override {
    forked_.record(native(main));
    forked_.hold_back(native(side));
  }
  void join(Stream& main, Stream& side) override {
    joined_.record(native(side));
    joined_.hold_back(native(main));
  }

  std::unique_ptr<Recording> record(Stream& stream, const std::function<void()>& work) override {
    const cudaStream_t s = native(stream);
    check_cuda(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed), "recording a step");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      cudaStreamEndCapture(s, &graph);
      if (graph) cudaGraphDestroy(graph);
      throw;
    }
    check_cuda(cudaStreamEndCapture(s, &graph), "recording a step");
    return std::make_unique<Graph>(graph);
  }
  std::unique_ptr<Staging> staging(std::size_t bytes) override {
    return std::make_unique<CudaStaging>(bytes);
  }
  std::unique_ptr<Mailbox> mailbox(std::size_t bytes) override {
    return std::make_unique<CudaMailbox>(bytes);
  }

 private:
  const std::string name_;
  const int capability_;  // 90 for sm_90
  OwnStream main_, side_;
  Event forked_, joined_;
  SmallUploads small_;
};

CudaDevice& first_card() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver)
    throw Error(ExitCode::device, "device-driver", "CUDA",
                "the NVIDIA driver is missing or older than this build needs",
                "update the driver, or use --device cpu");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    throw Error(ExitCode::device, "device-card", "CUDA", "the driver shows no card",
                "check CUDA_VISIBLE_DEVICES and nvidia-smi, or use --device cpu");
  check_cuda(status, "starting the driver");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, 0), "asking for the card's properties");
  const int capability = 10 * properties.major + properties.minor;
  if (capability < kOldestCard)
    throw Error(
        ExitCode::device, "device-card", printable(properties.name),
        fmt::format("it is sm_{}, and kernels are built from sm_{}", capability, kOldestCard),
        "use --device cpu");
  check_cuda(cudaSetDevice(0), "choosing the card");
  // Never destroyed: at exit the driver may be gone before it.
  return *new CudaDevice(printable(properties.name), capability);
}

}  // namespace

Device& cuda_device() {
  static CudaDevice& device = first_card();
  return device;
}

}  // namespace fjord
