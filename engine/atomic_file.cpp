// Atomic files: exclusive temporary, checked writes, fsync, rename, fsync of the folder.
#include "engine/atomic_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <utility>

#include "kernels/error.h"

namespace fjord {
namespace {

[[noreturn]] void fail(int code, const std::filesystem::path& path, std::string_view doing) {
  const std::string name = printable(path.string());
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    throw Error(
        ExitCode::io, "disk-full", name, fmt::format("{} failed: {}", doing, std::strerror(code)),
        "free some space (or raise the quota or file size limit) and run the command again");
  }
  throw Error(ExitCode::io, "write", name, fmt::format("{} failed: {}", doing, std::strerror(code)),
              "check that the folder exists and may be written to");
}

/// A write beyond RLIMIT_FSIZE raises SIGXFSZ in the writing thread and would kill the process;
/// held back and taken away here, what remains is the write's own EFBIG.
class HoldFileSizeSignal {
 public:
  HoldFileSizeSignal() {
    sigemptyset(&signal_);
    sigaddset(&signal_, SIGXFSZ);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGXFSZ) == 1;
    pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  }
  ~HoldFileSizeSignal() {
    const timespec now{};
    if (!was_pending_) {
      while (sigtimedwait(&signal_, nullptr, &now) == SIGXFSZ) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HoldFileSizeSignal(const HoldFileSizeSignal&) = delete;
  HoldFileSizeSignal& operator=(const HoldFileSizeSignal&) = delete;

 private:
  sigset_t signal_, before_;
  bool was_pending_ = false;
};

/// `<path>.tmp.<pid>`, its name cut where it would be longer than file systems allow.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  constexpr std::size_t longest = 255;
  const std::string ending = ".tmp." + std::to_string(::getpid());
  return path.parent_path() /
         (path.filename().string().substr(0, longest - ending.size()) + ending);
}

}  // namespace

void write_fully(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  constexpr std::size_t most = std::size_t{1} << 30;  // one write() takes less than 2 GiB
  while (!bytes.empty()) {
    ssize_t written = 0;
    int code = 0;
    {
      const HoldFileSizeSignal hold;
      written = ::write(fd, bytes.data(), std::min(bytes.size(), most));
      code = errno;
    }
    if (written < 0 && code == EINTR) continue;
    if (written < 0) fail(code, path, "writing");
    if (written == 0) fail(ENOSPC, path, "writing");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const std::filesystem::path name = folder.empty() ? "." : folder;
  const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(errno, name, "opening the folder");
  // Some network file systems cannot sync a folder and say so; renames are durable there anyway.
  const int code = ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
  ::close(fd);
  if (code != 0) fail(code, name, "syncing the folder");
}

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_beside(path_)) {
  struct stat target {};
  if (::stat(path_.c_str(), &target) == 0 && !S_ISREG(target.st_mode) && !S_ISDIR(target.st_mode))
    throw Error(ExitCode::io, "write", printable(path_.string()),
                "it is a device or a pipe, and only files are replaced", "give the path of a file");
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  fd_ = ::open(temporary_.c_str(), flags, 0666);
  if (fd_ < 0 && errno == EEXIST) {  // left by a dead process that had this number
    ::unlink(temporary_.c_str());
    fd_ = ::open(temporary_.c_str(), flags, 0666);
  }
  if (fd_ < 0) fail(errno, path_, "creating the file");
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) { write_fully(fd_, bytes, path_); }

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span<const char>(text.data(), text.size())));
}

void AtomicFile::rewrite_start(std::string_view text) {
  const auto go_to = [this](int whence) {
    if (::lseek(fd_, 0, whence) < 0) fail(errno, path_, "writing");
  };
  go_to(SEEK_SET);
  write(text);
  go_to(SEEK_END);
}

void AtomicFile::close_file() {
  if (::fsync(fd_) != 0) fail(errno, path_, "syncing the file");
  if (::close(std::exchange(fd_, -1)) != 0) fail(errno, path_, "closing the file");
}

void AtomicFile::commit() {
  close_file();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno, path_, "renaming to it");
  temporary_.clear();
  sync_folder(path_.parent_path());
}

}  // namespace fjord
