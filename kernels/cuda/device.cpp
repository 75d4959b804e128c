// The card as a device: memory, two streams, pinned buffers, recorded graphs.
#include "kernels/cuda/device.h"

#include "kernels/cuda/device_copies.h"

namespace fjord {

namespace {

constexpr int kOldestCard = 75, kFirstBf16Card = 80;

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
    void* data = cuda::allocate_on_card(bytes);
    check_cuda(cudaMemsetAsync(data, 0, bytes, main_.stream), "clearing memory");
    return data;
  }
  void release(void* data, std::size_t) noexcept override {
    cudaStreamSynchronize(main_.stream);
    cudaFree(data);
  }

  void upload(void* to, const void* from, std::size_t bytes, Stream& stream) override {
    if (bytes <= cuda::SmallUploads::kBytes) return small_.send(to, from, bytes, native(stream));
    // From memory that is not pinned: returns when the bytes are taken.
    cuda::copy(to, from, bytes, cudaMemcpyHostToDevice, native(stream));
  }
  void download(void* to, const void* from, std::size_t bytes, Stream& stream) override {
    cuda::copy(to, from, bytes, cudaMemcpyDeviceToHost, native(stream));
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
  std::unique_ptr<Staging> staging(std::size_t bytes) override { return cuda::make_staging(bytes); }
  std::unique_ptr<Mailbox> mailbox(std::size_t bytes) override { return cuda::make_mailbox(bytes); }

 private:
  const std::string name_;
  const int capability_;  // 90 for sm_90
  cuda::OwnStream main_, side_;
  cuda::Event forked_, joined_;
  cuda::SmallUploads small_;
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
