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

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
  const std::uint32_t exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
}

template <class T, class F>
std::vector<float> convert(std::span<const std::byte> bytes, F to_float) {
  std::vector<float> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = to_float(value);
  }
  return values;
}

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

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileType file_type(DType type) {
  switch (type) {
    case DType::f32:
      return FileType::f32;
    case DType::f64:
      return FileType::f64;
    case DType::bf16:
      return FileType::bf16;
    case DType::f16:
      return FileType::f16;
    case DType::u8:
      return FileType::u8;
    case DType::u16:
      return FileType::u16;
    case DType::i32:
      return FileType::i32;
    case DType::i64:
      return FileType::i64;
  }
  return FileType::f32;
}

bool is_float(FileType type) {
  return type == FileType::f16 || type == FileType::bf16 || type == FileType::f32 ||
         type == FileType::f64;
}

std::int64_t TensorEntry::count() const {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

const TensorEntry* SafetensorsHeader::find(std::string_view name) const {
  const auto at = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return at != tensors.end() && at->name == name ? &*at : nullptr;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : name_(printable(path.native())), file_(open_to_read(path, name_)) {
  const std::uint64_t bytes = file_size(file_.get(), name_);
  std::string first(std::min<std::uint64_t>(bytes, 8), '\0');
  read_at(0, std::as_writable_bytes(std::span(first)));
  std::string header(safetensors_header_bytes(name_, first, bytes), '\0');
  read_at(8, std::as_writable_bytes(std::span(header)));
  header_ = parse_safetensors_header(name_, header, bytes);
  verify_format(name_, header_.metadata);
}

void SafetensorsFile::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(name_, std::strerror(errno));
    if (got == 0) cannot_read(name_, "the file became shorter while it was read");
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

void SafetensorsFile::read(const TensorEntry& tensor, std::span<std::byte> into) const {
  check(into.size() == tensor.bytes(), tensor.name, "read into {} bytes, it has {}", into.size(),
        tensor.bytes());
  read_at(header_.data_begin + tensor.begin, into);
}

std::vector<std::byte> SafetensorsFile::read(const TensorEntry& tensor) const {
  std::vector<std::byte> bytes(tensor.bytes());
  read(tensor, bytes);
  return bytes;
}

std::vector<float> to_floats(FileType type, std::span<const std::byte> bytes) {
  switch (type) {
    case FileType::f16:
      return convert<std::uint16_t>(bytes, half_to_float);
    case FileType::bf16:
      return convert<std::uint16_t>(bytes, [](std::uint16_t high) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(high) << 16);
      });
    case FileType::f32:
      return convert<float>(bytes, [](float value) { return value; });
    case FileType::f64:
      return convert<double>(bytes, [](double value) { return static_cast<float>(value); });
    default:
      check(false, "to_floats", "{} is not a type of real numbers", name_of(type));
      return {};
  }
}

Digest digest_of(const TensorEntry& tensor, std::span<const std::byte> bytes) {
  FieldHash hash;
  hash.add_text(tensor.name);
  hash.add_text(name_of(tensor.type));
  hash.add_number(tensor.shape.size());
  hash.add_raw(tensor.shape.data(), tensor.shape.size() * sizeof(std::int64_t));
  hash.add_number(bytes.size());
  hash.add_raw(bytes.data(), bytes.size());
  return hash.digest();
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

void verify_hash(const SafetensorsFile& file, const std::vector<Digest>& by_name) {
  const Metadata& metadata = file.header().metadata;
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
