// The host as a device: memory from the operating system, committed when first touched; every call
// returns when its work is done.
#include "kernels/cpu/device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <vector>

#include "kernels/cpu/backend.h"

namespace fjord {

namespace {

/// Larger blocks lie at its multiples and are asked for in pages of that size: a hundredth of the
/// page faults, of which a first result would have tens of thousands.
constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// Zeroed; null where there is not that much.
void* mapped(std::size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return block == MAP_FAILED ? nullptr : block;
}

void* mapped_in_large_pages(std::size_t bytes) {
  auto* begin = static_cast<std::byte*>(mapped(bytes + kLargePage));
  if (!begin) return nullptr;
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kLargePage;
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t end = before + (bytes + page - 1) / page * page;
  if (before > 0) munmap(begin, before);
  munmap(begin + end, bytes + kLargePage - end);
  madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

class HostStaging : public Staging {
 public:
  explicit HostStaging(std::size_t bytes) : bytes_(bytes) {}
  std::byte* host() override { return bytes_.data(); }
  void send(void* to, Stream&) override { std::memcpy(to, bytes_.data(), bytes_.size()); }

 private:
  std::vector<std::byte> bytes_;
};

class HostMailbox : public Mailbox {
 public:
  explicit HostMailbox(std::size_t bytes) : bytes_(bytes) {}
  void post(const void* from, Stream&) override {
    const auto* begin = static_cast<const std::byte*>(from);
    letters_.emplace_back(begin, begin + bytes_);
  }
  void take(void* to) override {
    invariant(!letters_.empty(), "Mailbox", "no letter is under way");
    std::memcpy(to, letters_.front().data(), bytes_);
    letters_.pop_front();
  }

 private:
  const std::size_t bytes_;
  std::deque<std::vector<std::byte>> letters_;
};

class CpuDevice : public Device {
 public:
  std::string name() const override { return "cpu"; }
  bool is_host() const override { return true; }
  DeviceMemory memory() const override {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return {page * static_cast<std::size_t>(::sysconf(_SC_AVPHYS_PAGES)),
            page * static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES))};
  }
  bool fast_in(DType type) const override { return type == DType::bf16 && cpu_has_bf16(); }
  bool has_tf32() const override { return false; }

  void* allocate(std::size_t bytes) override {
    if (bytes == 0) return nullptr;
    void* block = bytes >= kLargePage ? mapped_in_large_pages(bytes) : mapped(bytes);
    if (!block)
      throw Error(ExitCode::io, "memory",
                  fmt::format("{:.0f} MiB could not be had", static_cast<double>(bytes) / 0x1p20),
                  "the plan needs that much memory at once", "use a smaller --batch or --size");
    return block;
  }
  void release(void* data, std::size_t bytes) noexcept override { munmap(data, bytes); }

  void upload(void* to, const void* from, std::size_t bytes, Stream&) override {
    if (to != from) std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes, Stream&) override {
    if (to != from) std::memcpy(to, from, bytes);
  }
  void fill(void* to, std::uint8_t value, std::size_t bytes, Stream&) override {
    std::memset(to, value, bytes);
  }
  void synchronize(Stream&) override {}

  Stream stream() override { return {Backend::cpu, nullptr}; }
  Stream side_stream() override { return {Backend::cpu, nullptr}; }
  void fork(Stream&, Stream&) override {}
  void join(Stream&, Stream&) override {}

  std::unique_ptr<Recording> record(Stream&, const std::function<void()>&) override { return {}; }
  std::unique_ptr<Staging> staging(std::size_t bytes) override {
    return std::make_unique<HostStaging>(bytes);
  }
  std::unique_ptr<Mailbox> mailbox(std::size_t bytes) override {
    return std::make_unique<HostMailbox>(bytes);
  }
};

}  // namespace

Device& cpu_device() {
  static CpuDevice device;
  return device;
}

}  // namespace fjord
