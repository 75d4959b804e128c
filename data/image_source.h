// The bytes of an image file, from disk or memory, behind one bounds-checked read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fjord {

/// An opened file or a piece of memory. Reads never throw, since they are called from C decoders;
/// a failed device is remembered and reported by check_device().
class ByteSource {
 public:
  /// Opens a regular file, without ever blocking. Throws Error{dataset} naming what is wrong.
  explicit ByteSource(const std::filesystem::path& path);
  ByteSource(std::span<const std::byte> bytes, const std::string& name);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  std::uint64_t size() const { return size_; }
  /// The file's name, safe to print.
  const std::string& name() const { return name_; }
  /// Fills `to` from `offset`; returns how many bytes there were.
  std::size_t read_at(std::uint64_t offset, void* to, std::size_t count) noexcept;
  std::vector<std::byte> read(std::uint64_t offset, std::size_t count);
  /// Throws Error{io} if a read failed since the file was opened.
  void check_device() const;

 private:
  int fd_ = -1;
  std::span<const std::byte> memory_;
  std::uint64_t size_ = 0;
  std::string name_;
  int failed_ = 0;
};

/// A position in a source with a buffer, for decoders that read in small steps.
class ByteCursor {
 public:
  explicit ByteCursor(ByteSource& source) : source_(source), buffer_(64 * 1024) {}

  std::size_t read(void* to, std::size_t count) noexcept;
  /// The next bytes as they lie in the buffer; empty at the end.
  std::span<const std::byte> window() noexcept;
  void skip(std::uint64_t count) noexcept;
  std::uint64_t position() const { return start_ + used_; }

 private:
  ByteSource& source_;
  std::vector<std::byte> buffer_;
  std::uint64_t start_ = 0;
  std::size_t used_ = 0, filled_ = 0;
};

/// Error{dataset, slug}: "cannot read NAME - why - remedy".
[[noreturn]] void refuse(const ByteSource& source, std::string_view slug, std::string_view why,
                         std::string_view remedy);

/// Error{dataset, "image-damaged"}: "cannot read NAME - the FORMAT is damaged: DETAIL - ...".
[[noreturn]] void damaged(const ByteSource& source, std::string_view format,
                          std::string_view detail);

}  // namespace fjord
