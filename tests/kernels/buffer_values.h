// A tensor's values as doubles, whatever its type.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/error.h"
#include "kernels/view.h"
#include "tests/kernels/half_types.h"

namespace fjord {

inline void set(Buffer& buffer, std::int64_t i, double value) {
  switch (buffer.dtype) {
    case DType::f32:
      static_cast<float*>(buffer.data)[i] = static_cast<float>(value);
      return;
    case DType::f64:
      static_cast<double*>(buffer.data)[i] = value;
      return;
    case DType::bf16:
    case DType::f16:
      static_cast<std::uint16_t*>(buffer.data)[i] = to_bits(value, buffer.dtype);
      return;
    case DType::i64:
      static_cast<std::int64_t*>(buffer.data)[i] = static_cast<std::int64_t>(value);
      return;
    case DType::i32:
      static_cast<std::int32_t*>(buffer.data)[i] = static_cast<std::int32_t>(value);
      return;
    case DType::u16:
      static_cast<std::uint16_t*>(buffer.data)[i] = static_cast<std::uint16_t>(value);
      return;
    case DType::u8:
      static_cast<std::uint8_t*>(buffer.data)[i] = static_cast<std::uint8_t>(value);
      return;
    default:
      throw Error(ExitCode::bug, "op-case", buffer.name, "this type has no test values",
                  "add it to op_case.cpp");
  }
}

inline double get(const Buffer& buffer, std::int64_t i) {
  switch (buffer.dtype) {
    case DType::f32:
      return static_cast<const float*>(buffer.data)[i];
    case DType::f64:
      return static_cast<const double*>(buffer.data)[i];
    case DType::bf16:
    case DType::f16:
      return from_bits(static_cast<const std::uint16_t*>(buffer.data)[i], buffer.dtype);
    case DType::i64:
      return static_cast<double>(static_cast<const std::int64_t*>(buffer.data)[i]);
    case DType::i32:
      return static_cast<const std::int32_t*>(buffer.data)[i];
    case DType::u16:
      return static_cast<const std::uint16_t*>(buffer.data)[i];
    default:
      return static_cast<const std::uint8_t*>(buffer.data)[i];
  }
}

inline void set_all(Buffer& buffer, const std::vector<double>& values) {
  if (buffer.dtype == DType::f32)
    std::copy(values.begin(), values.end(), static_cast<float*>(buffer.data));
  else if (buffer.dtype == DType::f64)
    std::copy(values.begin(), values.end(), static_cast<double*>(buffer.data));
  else
    for (std::size_t i = 0; i < values.size(); ++i)
      set(buffer, static_cast<std::int64_t>(i), values[i]);
}

inline std::vector<double> get_all(const Buffer& buffer) {
  std::vector<double> values(static_cast<std::size_t>(buffer.shape.count()));
  if (buffer.dtype == DType::f32)
    std::copy_n(static_cast<const float*>(buffer.data), values.size(), values.begin());
  else if (buffer.dtype == DType::f64)
    std::copy_n(static_cast<const double*>(buffer.data), values.size(), values.begin());
  else
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = get(buffer, static_cast<std::int64_t>(i));
  return values;
}

}  // namespace fjord
