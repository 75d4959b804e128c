// Files of torch.save (zip archives, and the pickles of older PyTorch), read as data.
#pragma once

#include "engine/file_bytes.h"
#include "engine/pickle.h"
#include "engine/tensor_file.h"

namespace fjord {

/// By its first bytes: a zip archive, a pickle of protocol 2 or later (earlier ones have no mark),
/// or a tar of the oldest PyTorch.
bool is_torch_file(const FileBytes& file);

/// The tensors of a state_dict: the file's own dictionary, or the one under state_dict,
/// model_state_dict, model, network_weights ... Other values are left out by their type.
class TorchFile : public TensorFile {
 public:
  /// Throws Error{model_file} for a file that is damaged, asks to run code, or holds no state_dict.
  explicit TorchFile(FileBytes file);

  const std::string& name() const override { return file_.name; }
  const std::vector<TensorEntry>& tensors() const override { return tensors_; }
  const Metadata& metadata() const override { return metadata_; }
  std::vector<std::string> notes() const override { return notes_; }
  using TensorFile::read;
  void read(const TensorEntry& tensor, std::span<std::byte> into) const override;

 private:
  friend class TorchReader;
  struct Place {                // of a tensor
    std::uint64_t storage = 0;  // first byte in the file
    std::uint64_t bytes = 0;    // of the storage
    std::int64_t crc = -1;      // of the storage; -1: the file has none
    std::int64_t offset = 0;    // elements, as the strides
    std::vector<std::int64_t> strides;

    /// Elements from the first to the last of a tensor of this (not empty) shape.
    std::uint64_t extent(const std::vector<std::int64_t>& shape) const;
  };
  FileBytes file_;
  std::vector<TensorEntry> tensors_;  // begin and end: as if they stood back to back
  std::vector<Place> places_;         // of tensors_
  Metadata metadata_;
  std::vector<std::string> notes_;
};

/// A TorchFile, for callers that need no more of it than its tensors.
std::unique_ptr<TensorFile> open_torch_file(FileBytes file);

}  // namespace fjord
