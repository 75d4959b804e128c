// A file that appears whole under its final name, or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fjord {

/// Writes `<path>.tmp.<pid>` next to the target; commit() syncs it, renames it to `path` and syncs
/// the folder. Without commit() the temporary file is removed and the target stays as it was.
/// Every call throws Error{io} naming the file: "disk-full" for no space, quota and file size
/// limits (SIGXFSZ does not reach the process), "write" for the rest. Only a file is
/// replaced, never a device or a pipe.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void rewrite_start(
      std::string_view text);  // over bytes that are written; then goes on at the end
  void commit();

 private:
  void close_file();

  std::filesystem::path path_, temporary_;
  int fd_ = -1;
};

/// Writes all bytes to an open file; `path` stands in the message of the Error{io}.
void write_fully(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);

/// Makes a folder's entries durable. Throws Error{io}.
void sync_folder(const std::filesystem::path& folder);

}  // namespace fjord
