// A run's folder: its number or its name, whether it may be used, and the files that describe it.
#pragma once

#include <filesystem>
#include <string>

namespace fjord {

struct RunRequest {
  std::string out = {};  // exactly that folder; empty: the next number under runs/
  bool resume = false;
  std::string data = {}, arch = {}, encoder = {};  // what a numbered run is named after
};

/// What computes a run.
struct RunDevice {
  std::string isa, backend, card;  // card: empty on the CPU
  std::string precision;
  bool timed_convolutions = false;  // chosen by FJORD_CUDNN_TUNE
  bool library_sums = false;        // chosen by FJORD_CUDNN_SUMS
};

/// An open run: locked until destroyed, so that no second program trains in it.
class RunFolder {
 public:
  /// A checkpoint without --resume and --resume without a checkpoint are Error{usage}; a folder in
  /// use or that cannot be written is Error{io}. Nothing of an earlier run is removed yet.
  static RunFolder open(const RunRequest& request);
  RunFolder(RunFolder&& other) noexcept : path_(std::move(other.path_)), lock_(other.lock_) {
    other.lock_ = -1;
  }
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::filesystem::path checkpoint(const std::string& which) const {
    return path_ / "checkpoints" / which;
  }
  /// Removes what an earlier try without a checkpoint left (tables, events, pictures).
  void start_afresh() const;
  /// Appends the command, quoted so that it can be pasted.
  void write_command(int argc, const char* const* argv) const;
  /// Versions, processor, card, threads, instruction set: what equal bits depend on.
  void write_environment(const RunDevice& device) const;

 private:
  RunFolder(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::filesystem::path path_;
  int lock_ = -1;
};

/// Whether the folder holds a saved state to go on from.
bool has_checkpoint(const std::filesystem::path& run);

}  // namespace fjord
