// Opening files that may be anything: pipes, folders, files of others, devices that fail.
#include "data/image_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace fjord {
namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "no regular file";
}

[[noreturn]] void fail_to_open(const ByteSource& source, int code) {
  if (code == ENOENT || code == ENOTDIR) {
    refuse(source, "file-missing", "there is no such file", "check the path");
  }
  if (code == EACCES || code == EPERM) {
    refuse(source, "permission", "permission denied", "make it readable: chmod +r");
  }
  if (code == ELOOP)
    refuse(source, "file-missing", "its symbolic links run in a circle", "mend it");
  if (code == ENXIO) refuse(source, "not-a-file", "it is a socket or pipe", "name an image file");
  throw Error(ExitCode::io, "read", "cannot open " + source.name(), std::strerror(code),
              "check the device");
}

}  // namespace

ByteSource::ByteSource(const std::filesystem::path& path) : name_(printable(path.string())) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd_ < 0) fail_to_open(*this, errno);
  struct stat status {};
  const bool known = ::fstat(fd_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    refuse(*this, "not-a-file", fmt::format("it is {}", kind_of(status.st_mode)),
           "name an image file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

ByteSource::ByteSource(std::span<const std::byte> bytes, const std::string& name)
    : memory_(bytes), size_(bytes.size()), name_(printable(name)) {}

ByteSource::~ByteSource() {
  if (fd_ >= 0) ::close(fd_);
}

std::size_t ByteSource::read_at(std::uint64_t offset, void* to, std::size_t count) noexcept {
  if (offset >= size_) return 0;
  count = static_cast<std::size_t>(std::min<std::uint64_t>(count, size_ - offset));
  if (fd_ < 0) {
    if (count > 0) std::memcpy(to, memory_.data() + offset, count);
    return count;
  }
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(fd_, static_cast<std::byte*>(to) + done, count - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failed_ = errno;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

std::vector<std::byte> ByteSource::read(std::uint64_t offset, std::size_t count) {
  std::vector<std::byte> bytes(
      offset < size_ ? static_cast<std::size_t>(std::min<std::uint64_t>(count, size_ - offset))
                     : 0);
  bytes.resize(read_at(offset, bytes.data(), bytes.size()));
  return bytes;
}

void ByteSource::check_device() const {
  if (failed_ == 0) return;
  throw Error(ExitCode::io, "read", "cannot read " + name_, std::strerror(failed_),
              "check the disk or network drive it lies on");
}

std::span<const std::byte> ByteCursor::window() noexcept {
  if (used_ == filled_) {
    start_ += filled_;
    used_ = 0;
    filled_ = source_.read_at(start_, buffer_.data(), buffer_.size());
  }
  return {buffer_.data() + used_, filled_ - used_};
}

std::size_t ByteCursor::read(void* to, std::size_t count) noexcept {
  std::size_t done = 0;
  while (done < count) {
    const auto bytes = window();
    if (bytes.empty()) break;
    const std::size_t step = std::min(bytes.size(), count - done);
    std::memcpy(static_cast<std::byte*>(to) + done, bytes.data(), step);
    used_ += step;
    done += step;
  }
  return done;
}

void ByteCursor::skip(std::uint64_t count) noexcept {
  if (count <= filled_ - used_) {
    used_ += static_cast<std::size_t>(count);
    return;
  }
  start_ = std::min(position() + std::min(count, source_.size()), source_.size());
  used_ = filled_ = 0;
}

void refuse(const ByteSource& source, std::string_view slug, std::string_view why,
            std::string_view remedy) {
  throw Error(ExitCode::dataset, slug, "cannot read " + source.name(), why, remedy);
}

void damaged(const ByteSource& source, std::string_view format, std::string_view detail) {
  source.check_device();
  refuse(source, "image-damaged", fmt::format("the {} is damaged: {}", format, printable(detail)),
         "restore the file from its source, or take it out of the data set");
}

}  // namespace fjord
