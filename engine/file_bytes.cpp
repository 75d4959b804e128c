// Opening and reading files of any kind of device that pread knows.
#include "engine/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "kernels/error.h"

namespace fjord {

namespace {

[[noreturn]] void cannot_read(std::string_view name, std::string_view why) {
  throw Error(ExitCode::io, "open", name, why, "check the path and its permissions");
}

// O_NONBLOCK: opening a FIFO must not wait for its writer.
int open_to_read(const std::filesystem::path& path, std::string_view name) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) cannot_read(name, std::strerror(errno));
  return file;
}

std::uint64_t file_size(int file, std::string_view name) {
  struct stat status {};
  if (fstat(file, &status) != 0) cannot_read(name, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) cannot_read(name, "it is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) cannot_read(name, "it is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

// A file descriptor that closes itself.
class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

void read_at(int file, const std::string& name, std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(name, std::strerror(errno));
    if (got == 0) cannot_read(name, "the file became shorter while it was read");
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string FileBytes::text(std::uint64_t offset, std::uint64_t count) const {
  std::string bytes(count, '\0');
  read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

FileBytes open_bytes(const std::filesystem::path& path) {
  const std::string name = printable(path.native());
  const auto file = std::make_shared<const OpenFile>(open_to_read(path, name));
  return {name, file_size(file->get(), name),
          [file, name](std::uint64_t offset, std::span<std::byte> into) {
            read_at(file->get(), name, offset, into);
          }};
}

}  // namespace fjord
