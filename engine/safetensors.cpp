// Reading a safetensors file, its hash, and the conversion of its element types.
#include "engine/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "kernels/error.h"

namespace fjord {

namespace {

// A hash over fields that cannot run into each other: each is preceded by its length.
class FieldHash {
 public:
  FieldHash() { XXH3_128bits_reset(state_.get()); }
  void add_raw(const void* data, std::size_t bytes) {
    XXH3_128bits_update(state_.get(), data, bytes);
  }
  void add_number(std::uint64_t number) { add_raw(&number, sizeof number); }
  void add_text(std::string_view text) {
    add_number(text.size());
    add_raw(text.data(), text.size());
  }
  Digest digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.high64, hash.low64};
  }
  std::string text() const {
    const Digest hash = digest();
    return fmt::format("xxh3-128:{:016x}{:016x}", hash[0], hash[1]);
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_{XXH3_createState()};
};

// A file without the key comes from another program.
void verify_format(std::string_view name, const Metadata& metadata) {
  const auto row = metadata.find(std::string(kFormatKey));
  if (row == metadata.end()) return;
  const std::string& text = row->second;
  int format = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), format);
  if (failed != std::errc() || end != text.data() + text.size() || format < 1)
    throw Error(ExitCode::model_file, "format", name,
                fmt::format("its format number is '{}'", printable(text.substr(0, 40))),
                "save the file again");
  if (format > kFormat)
    throw Error(ExitCode::model_file, "format", name,
                fmt::format("written in format {} by a newer fjord, this one reads up to {}",
                            format, kFormat),
                "use that fjord");
}

}  // namespace

const TensorEntry* SafetensorsHeader::find(std::string_view name) const {
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

SafetensorsFile::SafetensorsFile(FileBytes file) : file_(std::move(file)) {
  const std::string first = file_.text(0, std::min<std::uint64_t>(file_.size, 8));
  const std::string header = file_.text(8, safetensors_header_bytes(file_.name, first, file_.size));
  header_ = parse_safetensors_header(file_.name, header, file_.size);
  verify_format(file_.name, header_.metadata);
}

void SafetensorsFile::read(const TensorEntry& tensor, std::span<std::byte> into) const {
  check(into.size() == tensor.bytes(), tensor.name, "read into {} bytes, it has {}", into.size(),
        tensor.bytes());
  file_.read(header_.data_begin + tensor.begin, into);
}

Digest digest_of(const TensorEntry& tensor, const std::function<void(const Sink&)>& write) {
  FieldHash hash;
  hash.add_text(tensor.name);
  hash.add_text(name_of(tensor.type));
  hash.add_number(tensor.shape.size());
  hash.add_raw(tensor.shape.data(), tensor.shape.size() * sizeof(std::int64_t));
  hash.add_number(tensor.bytes());
  std::uint64_t written = 0;
  write([&](std::span<const std::byte> piece) {
    hash.add_raw(piece.data(), piece.size());
    written += piece.size();
  });
  check(written == tensor.bytes(), tensor.name, "{} bytes given for {} {}", written,
        name_of(tensor.type), shape_text(tensor.shape));
  return hash.digest();
}

Digest digest_of(const TensorEntry& tensor, std::span<const std::byte> bytes) {
  return digest_of(tensor, [bytes](const Sink& sink) { sink(bytes); });
}

std::string combined_hash(const std::vector<Digest>& by_name) {
  FieldHash hash;
  for (const Digest& digest : by_name) hash.add_raw(digest.data(), sizeof digest);
  return hash.text();
}

std::string metadata_hash(const Metadata& metadata) {
  FieldHash hash;
  for (const auto& [key, value] : metadata) {
    if (key == kMetadataHashKey) continue;
    hash.add_text(key);
    hash.add_text(value);
  }
  return hash.text();
}

void verify_hash(const TensorFile& file, const std::vector<Digest>& by_name) {
  const Metadata& metadata = file.metadata();
  if (!metadata.contains(std::string(kFormatKey)) && !metadata.contains(std::string(kHashKey)))
    return;
  const auto demand = [&](std::string_view key, std::string_view of, const std::string& found) {
    const auto row = metadata.find(std::string(key));
    if (row != metadata.end() && row->second == found) return;
    throw Error(
        ExitCode::model_file, "hash", file.name(),
        fmt::format("its {} have the hash {}, the file says {}: it was damaged or edited", of,
                    found, row == metadata.end() ? "none" : printable(row->second.substr(0, 80))),
        "restore the file from a copy or use another checkpoint");
  };
  demand(kHashKey, "tensors", combined_hash(by_name));
  demand(kMetadataHashKey, "metadata", metadata_hash(metadata));
}

}  // namespace fjord
