// What a kernel sees of a tensor: shape, type, and how it is used (read, written, both).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fjord {

enum class DType : std::uint8_t { f32, f64, bf16, f16, u8, u16, i32, i64 };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
    case DType::u16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

/// NHWC for images and features; K x R x S x C for filters; 1 x 1 x 1 x C for vectors.
struct Shape {
  std::int64_t n = 1, h = 1, w = 1, c = 1;

  constexpr std::int64_t count() const { return n * h * w * c; }
  constexpr std::int64_t pixels() const { return n * h * w; }
  constexpr bool operator==(const Shape&) const = default;
};

inline std::string to_string(Shape s) {
  return std::to_string(s.n) + "x" + std::to_string(s.h) + "x" + std::to_string(s.w) + "x" +
         std::to_string(s.c);
}

/// A named piece of memory. `data` is set when a plan binds it to an arena, so kernels read it when
/// they run, never while recording. Aligned to 64 bytes.
struct Buffer {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  void* data = nullptr;

  std::size_t bytes() const { return static_cast<std::size_t>(shape.count()) * size_of(dtype); }
};

/// Whether a written tensor is overwritten or added to (the second gradient of a skip connection).
enum class Write : std::uint8_t { store, add };

/// A tensor that a kernel reads. Absent (false) when the argument is optional and not given.
struct In {
  const Buffer* buffer = nullptr;

  explicit operator bool() const { return buffer != nullptr; }
  Shape shape() const { return buffer->shape; }
  DType dtype() const { return buffer->dtype; }
  template <class T>
  const T* as() const {  // null where absent
    return buffer ? static_cast<const T*>(buffer->data) : nullptr;
  }
};

/// A tensor that a kernel writes. Absent (false) when nobody needs it, such as an image's gradient.
struct Out {
  Buffer* buffer = nullptr;
  Write write = Write::store;

  explicit operator bool() const { return buffer != nullptr; }
  Shape shape() const { return buffer->shape; }
  DType dtype() const { return buffer->dtype; }
  template <class T>
  T* as() const {  // null where absent
    return buffer ? static_cast<T*>(buffer->data) : nullptr;
  }
};

/// A tensor that a kernel reads and updates in place: running statistics, optimizer state, counts.
struct InOut {
  Buffer* buffer = nullptr;

  explicit operator bool() const { return buffer != nullptr; }
  Shape shape() const { return buffer->shape; }
  DType dtype() const { return buffer->dtype; }
  template <class T>
  T* as() const {  // null where absent
    return buffer ? static_cast<T*>(buffer->data) : nullptr;
  }
};

}  // namespace fjord
