// Stands in for kernels/cuda/ptx.h: the twin of each of its functions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>

#include <cstdint>

#include "tests/cuda/emulation/memory.h"
#include "tests/cuda/emulation/ptx.h"

namespace fjord {

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(emulation::memory::shared());
}

// Assigned as a structure, GCC would take it apart into accesses of its members.
template <class Whole>
Whole load_whole(const Whole* p) {
  Whole value;
  std::memcpy(&value, __builtin_assume_aligned(p, sizeof(Whole)), sizeof(Whole));
  return value;
}
template <class Whole>
void store_whole(Whole* p, const Whole& value) {
  std::memcpy(__builtin_assume_aligned(p, sizeof(Whole)), &value, sizeof(Whole));
}

inline void cp_async16(void* shared, const void* global) { emulation::copy_later(shared, global); }
inline void cp_async_commit() { emulation::commit_copies(); }
template <int groups_left>
void cp_async_wait() {
  emulation::wait_copies(groups_left);
}
inline void cp_async_wait_all() { emulation::wait_copies(-1); }

namespace emulated {

struct alignas(16) Row {
  std::uint32_t words[4];
};

inline void load_matrices(std::uint32_t (&words)[4], const void* row,
                          ::emulation::Exchange exchange, ::emulation::Where where) {
  const unsigned lane = ::emulation::block().current().lane();
  ::emulation::Warp& warp = ::emulation::block().warp();
  ::emulation::put(warp.in[lane], *static_cast<const Row*>(row));
  ::emulation::block().exchange(~0u, exchange, where);
  const Row received = ::emulation::get<Row>(warp.out[lane]);
  for (int i = 0; i < 4; ++i) words[i] = received.words[i];
}

inline void multiply_add(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         ::emulation::Exchange exchange, ::emulation::Where where) {
  const unsigned lane = ::emulation::block().current().lane();
  ::emulation::Warp& warp = ::emulation::block().warp();
  const ::emulation::MmaOperands operands{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  ::emulation::put(warp.in[lane], operands);
  ::emulation::block().exchange(~0u, exchange, where);
  struct Products {
    float values[4];
  };
  const auto products = ::emulation::get<Products>(warp.out[lane]);
  for (int i = 0; i < 4; ++i) sums[i] += products.values[i];
}

}  // namespace emulated

inline void ldmatrix_x4(std::uint32_t (&words)[4], const void* row,
                        ::emulation::Where where = ::emulation::Where::current()) {
  emulated::load_matrices(words, row, ::emulation::give_rows, where);
}
inline void ldmatrix_x4_trans(std::uint32_t (&words)[4], const void* row,
                              ::emulation::Where where = ::emulation::Where::current()) {
  emulated::load_matrices(words, row, ::emulation::give_columns, where);
}

inline void mma16816(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     __nv_bfloat16, ::emulation::Where where = ::emulation::Where::current()) {
  emulated::multiply_add(sums, a, b, ::emulation::multiply_bf16, where);
}
inline void mma16816(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     __half, ::emulation::Where where = ::emulation::Where::current()) {
  emulated::multiply_add(sums, a, b, ::emulation::multiply_f16, where);
}

}  // namespace fjord
