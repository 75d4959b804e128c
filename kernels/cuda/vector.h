// Memory in 16-byte accesses, conversions between the storage types and float, and the choice of a
// kernel by type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace fjord {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }

/// Rounds to the nearest, ties to even.
template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}

/// `count` neighbours of type T, at most 16 bytes, moved as one access. By default 16 bytes.
template <class T, int count = 16 / static_cast<int>(sizeof(T))>
struct alignas(sizeof(T) * count) Pack {
  static_assert(sizeof(T) * count <= 16);
  static constexpr int size = count;
  T values[count];

  __device__ T& operator[](int i) { return values[i]; }
  __device__ const T& operator[](int i) const { return values[i]; }
};

/// One access; p is aligned to the pack.
template <int count, class T>
__device__ Pack<T, count> load_pack(const T* p) {
  return load_whole(reinterpret_cast<const Pack<T, count>*>(p));
}
template <class T>
__device__ Pack<T> load(const T* p) {
  return load_pack<Pack<T>::size>(p);
}
template <class T, int count>
__device__ void store(T* p, const Pack<T, count>& pack) {
  store_whole(reinterpret_cast<Pack<T, count>*>(p), pack);
}

/// W values in registers, what kernels compute with.
template <int W>
struct Floats {
  float values[W];

  __device__ float& operator[](int i) { return values[i]; }
  __device__ float operator[](int i) const { return values[i]; }
};

/// How many of W values of T go into one access.
template <class T, int W>
constexpr int access_width = W < Pack<T>::size ? W : Pack<T>::size;

/// W neighbours as floats, in accesses of 16 bytes where W values are that long; p is aligned to
/// the access.
template <int W, class T>
__device__ Floats<W> load_floats(const T* p) {
  constexpr int width = access_width<T, W>;
  Floats<W> floats;
#pragma unroll
  for (int i = 0; i < W; i += width) {
    const Pack<T, width> pack = load_pack<width>(p + i);
#pragma unroll
    for (int k = 0; k < width; ++k) floats[i + k] = to_float(pack[k]);
  }
  return floats;
}

template <int W, class T>
__device__ void store_floats(T* p, const Floats<W>& floats) {
  constexpr int width = access_width<T, W>;
#pragma unroll
  for (int i = 0; i < W; i += width) {
    Pack<T, width> pack;
#pragma unroll
    for (int k = 0; k < width; ++k) pack[k] = from_float<T>(floats[i + k]);
    store(p + i, pack);
  }
}

/// Stores, or adds in float to what is there (Write::add).
template <int W, class T>
__device__ void write_floats(T* p, Floats<W> floats, bool add) {
  if (add) {
    const Floats<W> before = load_floats<W>(p);
#pragma unroll
    for (int k = 0; k < W; ++k) floats[k] += before[k];
  }
  store_floats<W>(p, floats);
}

/// A number known to the compiler, as an argument.
template <int value_>
struct Number {
  static constexpr int value = value_;
};

/// The type that all given tensors (In, Out, InOut) have; absent ones have any. Throws Error{bug}.
template <class... Tensors>
DType common_type(const char* slot, const Tensors&... tensors) {
  std::optional<DType> type;
  const auto agree = [&](const auto& tensor) {
    if (!tensor) return;
    if (type && *type != tensor.dtype()) throw_types(slot);
    type = tensor.dtype();
  };
  (agree(tensors), ...);
  if (!type) throw_types(slot);
  return *type;
}

/// body.template operator()<T>() for the type of a real tensor; throws Error{bug} for others.
template <class Body>
void with_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f32:
      return body.template operator()<float>();
    case DType::bf16:
      return body.template operator()<__nv_bfloat16>();
    case DType::f16:
      return body.template operator()<__half>();
    default:
      throw_types("a CUDA kernel");
  }
}

/// Whether every one of them (null for an absent tensor) begins at a multiple of 16 bytes.
inline bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* address : addresses)
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return false;
  return true;
}

/// body(Number<W>{}) for channels that come W at a time: 16 bytes of T where their number and every
/// address allow, else one.
template <class T, class Body>
void with_width(std::int64_t channels, std::initializer_list<const void*> addresses,
                const Body& body) {
  if (channels % Pack<T>::size == 0 && aligned(addresses))
    body(Number<Pack<T>::size>{});
  else
    body(Number<1>{});
}

/// Address of a tensor that may be absent.
template <class T>
const T* optional_data(In tensor) {
  return tensor ? tensor.as<T>() : nullptr;
}

/// Where a kernel writes a tensor, if anywhere, and how.
template <class T>
struct Target {
  T* data = nullptr;
  bool add = false;
};
template <class T>
Target<T> target(Out tensor) {
  if (!tensor) return {};
  return {tensor.as<T>(), tensor.write == Write::add};
}

/// Adds to or stores one value where a target is present.
template <class T>
__device__ void write_value(Target<T> target, std::int64_t i, double value) {
  if (!target.data) return;
  if (target.add) value += static_cast<double>(to_float(target.data[i]));
  target.data[i] = from_float<T>(static_cast<float>(value));
}

}  // namespace fjord
