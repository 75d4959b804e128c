// Element types and their conversion, and which reader a file needs.
#include "engine/tensor_file.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "engine/file_bytes.h"
#include "engine/safetensors.h"
#include "engine/torch_file.h"
#include "kernels/error.h"

namespace fjord {

namespace {

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

}  // namespace

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

std::vector<std::byte> TensorFile::read(const TensorEntry& tensor) const {
  std::vector<std::byte> bytes(tensor.bytes());
  read(tensor, bytes);
  return bytes;
}

std::unique_ptr<TensorFile> open_tensors(const std::filesystem::path& path) {
  FileBytes file = open_bytes(path);
  if (is_torch_file(file)) return open_torch_file(std::move(file));
  return std::make_unique<SafetensorsFile>(std::move(file));
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

}  // namespace fjord
