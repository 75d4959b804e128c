// Folder listing by stat alone; hashes of files.
#include "data/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace fjord {

namespace fs = std::filesystem;

namespace {

Fault fault_of(const fs::path& path, std::string slug, std::string what, std::string why,
               std::string remedy) {
  return {.slug = std::move(slug),
          .what = printable(path.native()) + ": " + what,
          .why = std::move(why),
          .remedy = std::move(remedy)};
}

std::string kind_of(mode_t mode) {
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// Adds one entry of a folder, or the fault that keeps it from being one.
void add_entry(const fs::path& path, std::vector<FileEntry>& files, std::vector<Fault>& faults) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const int error = errno;
    if (error == ELOOP)
      faults.push_back(fault_of(path, "link-loop", "a link that leads back to itself",
                                "it names no file", "remove the link"));
    else if (error == ENOENT)
      faults.push_back(fault_of(path, "dangling-link", "a link to nothing",
                                "its target does not exist", "restore the target or remove it"));
    else
      faults.push_back(fault_of(path, "unreadable", "can't be looked at", std::strerror(error),
                                "check its permissions and the disk"));
    return;
  }
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    faults.push_back(fault_of(path, "not-a-file", kind_of(status.st_mode) + ", not a file",
                              "reading it could wait for ever", "move it out of the data set"));
    return;
  }
  if (::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0) {
    faults.push_back(fault_of(path, "permission", "permission denied", "this user may not read it",
                              "chmod u+r it, or ask its owner"));
    return;
  }
  files.push_back({path, S_ISREG(status.st_mode)});
}

}  // namespace

std::vector<FileEntry> list_files(const fs::path& folder, std::vector<Fault>& faults) {
  std::vector<fs::path> paths;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed))
    if (entry->path().filename().native().front() != '.') paths.push_back(entry->path());
  if (failed)
    faults.push_back(fault_of(folder, "unreadable", "can't be listed", failed.message(),
                              "check its permissions and the disk"));
  std::sort(paths.begin(), paths.end());
  std::vector<FileEntry> files;
  for (const fs::path& path : paths) add_entry(path, files, faults);
  return files;
}

bool has_image_extension(const fs::path& path) {
  std::string extension = path.extension().native();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  static constexpr std::array kKnown = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp",
                                        ".gif", ".psd", ".pnm",  ".pgm", ".ppm",  ".tga"};
  return std::find(kKnown.begin(), kKnown.end(), extension) != kKnown.end();
}

std::uint64_t hash_bytes(const void* bytes, std::size_t count) { return XXH3_64bits(bytes, count); }

std::uint64_t hash_file(const fs::path& path, std::uint64_t limit) {
  const auto fail = [&] {
    throw Error(ExitCode::io, "read", printable(path.native()) + ": can't be read",
                std::strerror(errno), "check the file and the disk");
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) fail();
  const auto close = [](const int* f) { ::close(*f); };
  const std::unique_ptr<const int, decltype(close)> guard(&file, close);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  std::vector<char> block(1 << 18);
  while (limit > 0) {
    const ssize_t got = ::read(file, block.data(), std::min<std::uint64_t>(block.size(), limit));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail();
    if (got == 0) break;
    XXH3_64bits_update(&state, block.data(), static_cast<std::size_t>(got));
    limit -= static_cast<std::uint64_t>(got);
  }
  return XXH3_64bits_digest(&state);
}

}  // namespace fjord
