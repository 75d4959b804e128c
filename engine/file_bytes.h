// A file's bytes in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace fjord {

/// An open file, or memory in tests. `read` fills the span or throws Error{io}.
struct FileBytes {
  std::string name;  // printable path, for errors
  std::uint64_t size = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> into)> read;

  /// Bytes that are known to lie inside.
  std::string text(std::uint64_t offset, std::uint64_t count) const;
};

/// Opens a regular file. Reads by pread, never by mapping: a file that shrinks is an Error, not a
/// signal. Throws Error{io}.
FileBytes open_bytes(const std::filesystem::path& path);

}  // namespace fjord
