// The safetensors format: a strict reader, and a writer whose bytes depend on its arguments alone.
// Format: u64 little-endian header length, JSON header padded with spaces, tensors back to back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/file_bytes.h"
#include "engine/tensor_file.h"

namespace fjord {

struct SafetensorsHeader {
  std::uint64_t data_begin = 0;      // bytes from the start of the file
  std::vector<TensorEntry> tensors;  // sorted by name
  Metadata metadata;

  const TensorEntry* find(std::string_view name) const;
};

/// What this reader accepts; anything beyond is Error{model_file, "safetensors"}.
struct SafetensorsLimits {
  static constexpr std::uint64_t header_bytes = 100'000'000;
  static constexpr std::size_t metadata_bytes = 1'000'000, name_bytes = 512, dimensions = 8,
                               tensors = 100'000;
};

/// The header's length from the file's first (at most 8) bytes, checked against the file's size.
std::uint64_t safetensors_header_bytes(std::string_view file, std::string_view first,
                                       std::uint64_t file_bytes);
/// Checks everything that can be known without the data. `file` names the file in errors.
SafetensorsHeader parse_safetensors_header(std::string_view file, std::string_view header,
                                           std::uint64_t file_bytes);

class SafetensorsFile : public TensorFile {
 public:
  /// Throws Error{io} when it cannot be read, Error{model_file} when its structure is wrong.
  explicit SafetensorsFile(FileBytes file);
  explicit SafetensorsFile(const std::filesystem::path& path) : SafetensorsFile(open_bytes(path)) {}

  const SafetensorsHeader& header() const { return header_; }
  const std::string& name() const override { return file_.name; }
  const std::vector<TensorEntry>& tensors() const override { return header_.tensors; }
  const Metadata& metadata() const override { return header_.metadata; }
  using TensorFile::read;
  void read(const TensorEntry& tensor, std::span<std::byte> into) const override;

 private:
  FileBytes file_;
  SafetensorsHeader header_;
};

/// Takes bytes in pieces of any size.
using Sink = std::function<void(std::span<const std::byte>)>;

/// XXH3-128 of one tensor's name, type, shape and bytes, which `write` hands to a sink.
using Digest = std::array<std::uint64_t, 2>;
Digest digest_of(const TensorEntry& tensor, const std::function<void(const Sink&)>& write);
Digest digest_of(const TensorEntry& tensor, std::span<const std::byte> bytes);
/// "xxh3-128:" and 32 hexadecimal digits over the digests of all tensors in order of name.
std::string combined_hash(const std::vector<Digest>& by_name);
/// The same over metadata, without the keys of hashes.
std::string metadata_hash(const Metadata& metadata);

/// Metadata keys that the writer sets and the reader verifies.
inline constexpr std::string_view kHashKey = "fjord.hash";
inline constexpr std::string_view kMetadataHashKey = "fjord.metadata_hash";
inline constexpr std::string_view kFormatKey = "fjord.format";
inline constexpr int kFormat = 1;  // a file of a higher number comes from a newer program

/// Throws Error{model_file, "hash"} when the file says another hash than `by_name` give; files of
/// other programs say none.
void verify_hash(const TensorFile& file, const std::vector<Digest>& by_name);

/// A tensor to be written. `write` hands its bytes, in files' order, to a sink: a model is never
/// copied whole to be saved.
struct TensorSource {
  std::string name;
  FileType type = FileType::f32;
  std::vector<std::int64_t> shape;
  std::function<void(const Sink&)> write;
};

/// The hash that a file of these tensors has.
std::string hash_of(const std::vector<TensorSource>& tensors);

/// Writes a file that appears complete or not at all: tensors in PyTorch's order (wider types
/// first, then by name), and format and hashes in the metadata when `hashed`. Returns the hash of
/// the tensors.
struct WriteOptions {
  Metadata metadata = {};
  bool hashed = true;
};
std::string save_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors,
                             const WriteOptions& options);

}  // namespace fjord
