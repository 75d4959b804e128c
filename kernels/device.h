// Memory and order of work of a backend. The engine reaches the bytes of tensors through this
// alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/kernel.h"

namespace fjord {

struct DeviceMemory {
  std::size_t free = 0, total = 0;  // bytes
};

/// Kernel calls that were recorded once and are launched as one.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void launch(Stream& stream) = 0;
};

/// Host memory from which a device copies while it computes: two buffers taken in turns.
class Staging {
 public:
  virtual ~Staging() = default;
  /// The buffer to be filled next; waits until the device has taken what was in it.
  virtual std::byte* host() = 0;
  /// Sends it to `to`, after the stream's earlier work and before its later, and returns at once.
  virtual void send(void* to, Stream& stream) = 0;
};

/// Small results on their way to the host, first in, first out.
class Mailbox {
 public:
  static constexpr int kCapacity = 4;  // letters that may be under way

  virtual ~Mailbox() = default;
  /// Copies what `from` holds after the stream's work so far, without waiting.
  virtual void post(const void* from, Stream& stream) = 0;
  /// Waits for the oldest letter and copies it to `to`.
  virtual void take(void* to) = 0;
};

/// Errors of a device are Error{device}: the work in hand is lost, files are as they were.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // for people: "NVIDIA H200", "cpu"
  /// Whether plain pointers of the host reach its memory and calls return when their work is done.
  virtual bool is_host() const = 0;
  virtual DeviceMemory memory() const = 0;
  /// Of the 16-bit types and tf32: whether it computes in them at full speed.
  virtual bool fast_in(DType type) const = 0;
  virtual bool has_tf32() const = 0;

  /// Zeroed, at a multiple of 256 bytes. Throws Error naming the bytes when there is not that much.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;

  /// In the stream's order; `from` may be reused when it returns.
  virtual void upload(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
  /// Waits for the stream's work so far and for the bytes.
  virtual void download(void* to, const void* from, std::size_t bytes, Stream& stream) = 0;
  virtual void fill(void* to, std::uint8_t value, std::size_t bytes, Stream& stream) = 0;
  /// Waits for the stream's work and throws what went wrong in it.
  virtual void synchronize(Stream& stream) = 0;

  /// The stream that the engine works in.
  virtual Stream stream() = 0;
  /// A stream beside it. fork: its later work waits for the main one's so far; join: the reverse.
  /// Both may be recorded. On the host the main stream itself, and nothing is to be done.
  virtual Stream side_stream() = 0;
  virtual void fork(Stream& main, Stream& side) = 0;
  virtual void join(Stream& main, Stream& side) = 0;

  /// Records what `work` enqueues, without running it; null where nothing can be recorded.
  virtual std::unique_ptr<Recording> record(Stream& stream, const std::function<void()>& work) = 0;
  virtual std::unique_ptr<Staging> staging(std::size_t bytes) = 0;
  virtual std::unique_ptr<Mailbox> mailbox(std::size_t bytes) = 0;
};

/// The device of a backend; the reference backend of the tests computes on the host. Throws
/// Error{device} for cuda before enable_device.
Device& device(Backend backend);
/// Makes `device` that of its backend; it must outlive all use.
void enable_device(Backend backend, Device& device);
/// The stream of a backend's device.
Stream stream(Backend backend);

/// A sequence of calls that is the same every time: runs as written the first time, is recorded the
/// second and from then on launched as one. On a device that cannot record it just runs.
class Replay {
 public:
  void run(Stream& stream, const std::function<void()>& work);
  /// Forgets the recording: addresses have changed.
  void reset();

 private:
  std::unique_ptr<Recording> recording_;
  bool ran_ = false;
};

/// A block of a device's memory that is given back at the end.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  DeviceBlock(Backend backend, std::size_t bytes);
  DeviceBlock(DeviceBlock&& other) noexcept { *this = std::move(other); }
  DeviceBlock& operator=(DeviceBlock&& other) noexcept;
  ~DeviceBlock();

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Backend backend_ = Backend::cpu;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace fjord
