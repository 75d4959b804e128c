// Where the tensors of a torch.save file lie.
#pragma once

#include <map>
#include <span>
#include <string>

#include "engine/torch_file.h"
#include "engine/zip.h"

namespace fjord {

/// Fills a TorchFile: finds the pickle, its state_dict, and each tensor's place. Throws
/// Error{model_file}.
class TorchReader {
 public:
  explicit TorchReader(TorchFile& out) : out_(out), file_(out.file_) {}
  void run();

 private:
  struct Storage {
    std::uint64_t begin = 0, bytes = 0;
    std::int64_t crc = -1;
  };

  void open_zip();
  void demand_little(const ZipEntry& entry) const;
  void open_legacy();
  /// Returns where the last one ends.
  std::uint64_t place_storages(std::span<const std::string_view> keys, std::uint64_t at);
  [[noreturn]] void refuse_cut(std::span<const std::string_view> keys, std::uint64_t whole) const;
  void list_storages();
  struct Described {
    std::string_view key;
    FileType type;
    std::uint64_t count;
  };

  Described describe(PickleRef storage) const;
  std::size_t tensors_in(PickleRef dict) const;
  PickleRef find_state();
  void take_tensors(PickleRef state);
  std::vector<std::int64_t> integers(PickleRef value) const;
  void take_tensor(const std::string& name, PickleRef tensor);
  void check_extent(const TensorEntry& tensor, const TorchFile::Place& place,
                    std::uint64_t elements) const;
  void sort_tensors();
  void demand_modest_reads() const;
  TorchFile& out_;
  const FileBytes& file_;
  std::string root_, text_;
  Pickle pickle_;
  std::map<std::string, Storage, std::less<>> storages_;
  std::map<std::string, std::uint64_t, std::less<>> elements_;
};

}  // namespace fjord
