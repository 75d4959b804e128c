// What every file of named tensors offers, whoever wrote it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/view.h"

namespace fjord {

/// Element types of weight files, in safetensors' order: its writers put the last ones first.
enum class FileType : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
};

std::string_view name_of(FileType type);  // "F32"
std::size_t size_of(FileType type);       // bytes
FileType file_type(DType type);
/// F16, BF16, F32 and F64, which readers convert to f32.
bool is_float(FileType type);

/// A tensor's row in the header. `begin` and `end` are bytes from the start of the data.
struct TensorEntry {
  std::string name;
  FileType type = FileType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;

  std::int64_t count() const;
  std::uint64_t bytes() const { return end - begin; }
};

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[64, 3, 7, 7]"

using Metadata = std::map<std::string, std::string>;

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual const std::string& name() const = 0;                  // printable path, for errors
  virtual const std::vector<TensorEntry>& tensors() const = 0;  // sorted by name
  virtual const Metadata& metadata() const = 0;
  /// Lines for the user: what of the file was taken and what was left out.
  virtual std::vector<std::string> notes() const { return {}; }
  /// The tensor's elements in C order. May be called from several threads.
  virtual void read(const TensorEntry& tensor, std::span<std::byte> into) const = 0;
  std::vector<std::byte> read(const TensorEntry& tensor) const;
};

/// A .safetensors, or a .pth or .pt of torch.save (zip and legacy), told apart by content. Nothing
/// in the file is run. Throws Error{io, model_file}.
std::unique_ptr<TensorFile> open_tensors(const std::filesystem::path& path);

/// F16, BF16, F32 or F64 bytes as f32 (F64 rounds; beyond its range becomes infinite).
std::vector<float> to_floats(FileType type, std::span<const std::byte> bytes);

}  // namespace fjord
