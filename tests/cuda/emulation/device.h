// What device code may use: qualifiers, built-in variables, barriers, warp calls, integer atomics.
// What is not here does not compile, above all atomicAdd on floating-point numbers.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "tests/cuda/emulation/block.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

constexpr int warpSize = 32;

namespace emulation {

using Where = std::source_location;

template <class T>
void put(Slot& slot, const T& value) {
  static_assert(sizeof(T) <= sizeof(Slot) && std::is_trivially_copyable_v<T>);
  std::memcpy(slot.bytes.data(), &value, sizeof(T));
}

template <class T>
T get(const Slot& slot) {
  T value;
  std::memcpy(&value, slot.bytes.data(), sizeof(T));
  return value;
}

/// Every lane receives `in` of the lane it names in `source`.
void give_from_source(Warp& warp, std::uint32_t mask);
/// Every lane receives the predicates (`source`) of all, one bit a lane.
void give_ballot(Warp& warp, std::uint32_t mask);
void order_memory(Warp& warp, std::uint32_t mask);

template <class T>
T shuffle(std::uint32_t mask, T value, unsigned source, Where where) {
  const unsigned lane = block().current().lane();
  Warp& warp = block().warp();
  put(warp.in[lane], value);
  warp.source[lane] = source;
  block().exchange(mask, give_from_source, where);
  return get<T>(warp.out[lane]);
}

/// The lane that `lane` names within its own segment of `width` lanes; itself when outside.
inline unsigned neighbour(int wanted, int width) {
  const int lane = static_cast<int>(block().current().lane());
  const int first = lane / width * width;
  return static_cast<unsigned>(wanted >= first && wanted < first + width ? wanted : lane);
}

std::uint32_t ballot(std::uint32_t mask, bool predicate, Where where);

// Out of line, so that an atomic access is not taken for a plain one.
std::uint32_t atomic_add(std::uint32_t* address, std::uint32_t value);
std::uint64_t atomic_add(std::uint64_t* address, std::uint64_t value);
std::uint32_t atomic_max(std::uint32_t* address, std::uint32_t value);
std::int32_t atomic_max(std::int32_t* address, std::int32_t value);
std::uint32_t atomic_min(std::uint32_t* address, std::uint32_t value);
std::int32_t atomic_min(std::int32_t* address, std::int32_t value);
std::uint32_t atomic_or(std::uint32_t* address, std::uint32_t value);
std::uint32_t atomic_exchange(std::uint32_t* address, std::uint32_t value);
std::uint32_t atomic_cas(std::uint32_t* address, std::uint32_t expected, std::uint32_t value);

}  // namespace emulation

inline void __syncthreads(emulation::Where where = emulation::Where::current()) {
  emulation::block().barrier(0, where);
}
inline int __syncthreads_count(int predicate,
                               emulation::Where where = emulation::Where::current()) {
  return static_cast<int>(emulation::block().barrier(predicate != 0, where));
}
inline int __syncthreads_or(int predicate, emulation::Where where = emulation::Where::current()) {
  return __syncthreads_count(predicate, where) > 0;
}
inline int __syncthreads_and(int predicate, emulation::Where where = emulation::Where::current()) {
  return __syncthreads_count(!predicate, where) == 0;
}
inline void __syncwarp(std::uint32_t mask = ~0u,
                       emulation::Where where = emulation::Where::current()) {
  emulation::block().exchange(mask, emulation::order_memory, where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(std::uint32_t mask, T value, int source, int width = 32,
              emulation::Where where = emulation::Where::current()) {
  const int lane = static_cast<int>(emulation::block().current().lane());
  const int named = lane / width * width + (source & (width - 1));
  return emulation::shuffle(mask, value, static_cast<unsigned>(named), where);
}
template <class T>
T __shfl_xor_sync(std::uint32_t mask, T value, int bits, int width = 32,
                  emulation::Where where = emulation::Where::current()) {
  const int lane = static_cast<int>(emulation::block().current().lane());
  return emulation::shuffle(mask, value, emulation::neighbour(lane ^ bits, width), where);
}
template <class T>
T __shfl_down_sync(std::uint32_t mask, T value, unsigned by, int width = 32,
                   emulation::Where where = emulation::Where::current()) {
  const int lane = static_cast<int>(emulation::block().current().lane() + by);
  return emulation::shuffle(mask, value, emulation::neighbour(lane, width), where);
}
template <class T>
T __shfl_up_sync(std::uint32_t mask, T value, unsigned by, int width = 32,
                 emulation::Where where = emulation::Where::current()) {
  const int lane = static_cast<int>(emulation::block().current().lane()) - static_cast<int>(by);
  return emulation::shuffle(mask, value, emulation::neighbour(lane, width), where);
}
inline std::uint32_t __ballot_sync(std::uint32_t mask, int predicate,
                                   emulation::Where where = emulation::Where::current()) {
  return emulation::ballot(mask, predicate != 0, where);
}
inline int __any_sync(std::uint32_t mask, int predicate,
                      emulation::Where where = emulation::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(std::uint32_t mask, int predicate,
                      emulation::Where where = emulation::Where::current()) {
  return __ballot_sync(mask, !predicate, where) == 0;
}

inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return emulation::atomic_add(address, value);
}
inline int atomicAdd(int* address, int value) {
  return static_cast<int>(emulation::atomic_add(reinterpret_cast<std::uint32_t*>(address),
                                                static_cast<std::uint32_t>(value)));
}
inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return emulation::atomic_add(reinterpret_cast<std::uint64_t*>(address), value);
}
float atomicAdd(float*, float) = delete;
double atomicAdd(double*, double) = delete;
inline unsigned atomicMax(unsigned* address, unsigned value) {
  return emulation::atomic_max(address, value);
}
inline int atomicMax(int* address, int value) { return emulation::atomic_max(address, value); }
inline unsigned atomicMin(unsigned* address, unsigned value) {
  return emulation::atomic_min(address, value);
}
inline int atomicMin(int* address, int value) { return emulation::atomic_min(address, value); }
inline unsigned atomicOr(unsigned* address, unsigned value) {
  return emulation::atomic_or(address, value);
}
inline unsigned atomicExch(unsigned* address, unsigned value) {
  return emulation::atomic_exchange(address, value);
}
inline unsigned atomicCAS(unsigned* address, unsigned expected, unsigned value) {
  return emulation::atomic_cas(address, expected, value);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __clz(int bits) { return std::countl_zero(static_cast<unsigned>(bits)); }
inline int __ffs(int bits) {
  return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned>(bits)) + 1;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __saturatef(float a) { return std::clamp(a, 0.0f, 1.0f); }
inline float rsqrtf(float a) { return 1 / std::sqrt(a); }
[[noreturn]] inline void __trap() { __builtin_trap(); }

// CUDA's own, in the global namespace.
template <class T>
requires std::is_arithmetic_v<T>
constexpr T min(T a, T b) { return b < a ? b : a; }
template <class T>
requires std::is_arithmetic_v<T>
constexpr T max(T a, T b) { return a < b ? b : a; }
