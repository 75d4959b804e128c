// Small files in one piece, through the system calls whose errors can be seen.
#include "tools/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/atomic_file.h"
#include "kernels/error.h"

namespace fjord {

namespace {

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

[[noreturn]] void throw_io(const std::filesystem::path& path, std::string_view action) {
  const int code = errno;
  const char* remedy = code == ENOSPC || code == EDQUOT || code == EFBIG
                           ? "free space or choose another folder"
                       : code == EIO ? "the disk reports errors: check it"
                                     : "choose a folder that can be written";
  throw Error(ExitCode::io, "io", printable(path.string()),
              fmt::format("{}: {}", action, std::strerror(code)), remedy);
}

}  // namespace

std::string read_small_file(const std::filesystem::path& path, std::size_t max_bytes,
                            std::string_view noun) {
  auto refuse = [&](std::string_view why, std::string_view remedy) {
    throw Error(ExitCode::usage, noun, printable(path.string()), why, remedy);
  };
  // O_NONBLOCK: a FIFO must not hang the program.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  struct stat status {};
  if (file.value < 0 || ::fstat(file.value, &status) != 0)
    refuse(std::strerror(errno), "check the path");
  if (!S_ISREG(status.st_mode)) refuse("is not a file", "check the path");
  if (static_cast<std::size_t>(status.st_size) > max_bytes)
    refuse(fmt::format("has {} bytes, at most {} are read", status.st_size, max_bytes),
           "check that it is the right file");
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.value, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(std::strerror(errno), "check the disk");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void require_writable(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    errno = error.value();
    throw_io(folder, "cannot create the folder");
  }
  const std::filesystem::path probe = folder / fmt::format(".probe-{}", ::getpid());
  const Descriptor file{::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
  if (file.value < 0) throw_io(folder, "cannot write there");
  ::unlink(probe.c_str());
}

}  // namespace fjord
