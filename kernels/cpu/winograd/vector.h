// A vector of floats as wide as the instruction set has them (FJORD_ISA), in the compiler's own
// vector types: one source for every instruction set. Included by the files compiled for each.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace fjord::FJORD_ISA {

namespace {

// kWideRows, kNarrowRows, kGradientRows: tiles of the micro-kernels, whose accumulators the
// registers hold beside one panel's row.
#if defined(__AVX512F__)
constexpr int kWidth = 16, kWideRows = 14, kNarrowRows = 28, kGradientRows = 8;
#elif defined(__AVX__)
constexpr int kWidth = 8, kWideRows = 6, kNarrowRows = 12, kGradientRows = 4;
#else
constexpr int kWidth = 4, kWideRows = 6, kNarrowRows = 12, kGradientRows = 4;
#endif

typedef float Vector __attribute__((vector_size(kWidth * sizeof(float)), may_alias));
typedef float UnalignedVector
    __attribute__((vector_size(kWidth * sizeof(float)), may_alias, aligned(sizeof(float))));

FJORD_HD Vector load(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }
FJORD_HD void store(float* to, Vector v) { *reinterpret_cast<UnalignedVector*>(to) = v; }

// Of memory that lies at a multiple of the vector's own size.
FJORD_HD Vector load_aligned(const float* from) { return *reinterpret_cast<const Vector*>(from); }
FJORD_HD void store_aligned(float* to, Vector v) { *reinterpret_cast<Vector*>(to) = v; }

// Of `count` values that are left, as many as a vector holds.
FJORD_HD std::int64_t clipped(std::int64_t count) { return count < kWidth ? count : kWidth; }

// The first `count` values, fewer than a vector; zero behind them.
FJORD_HD Vector load_part(const float* from, std::int64_t count) {
  Vector v{};
  for (std::int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}
FJORD_HD Vector load_some(const float* from, std::int64_t count) {
  return count == kWidth ? load(from) : load_part(from, count);
}
FJORD_HD void store_part(float* to, Vector v, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = v[i];
}

// Past the caches where the processor has whole lines to write.
FJORD_HD void stream_store(float* to, Vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, reinterpret_cast<__m512&>(v));
#else
  store(to, v);
#endif
}

FJORD_HD void fence() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// The sums of neighbours of a, then of b.
FJORD_HD Vector add_neighbours(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif defined(__AVX__)
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
         __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

// The first, or the last, halves of both, lane by lane.
FJORD_HD Vector interleave_first(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(__AVX__)
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}
FJORD_HD Vector interleave_last(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
#elif defined(__AVX__)
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

// Rows become columns. Interleaving the first half of the rows with the last rotates the bits of
// every value's place (row, lane) by one; after as many rounds as a row has bits, both are
// exchanged.
FJORD_HD void transpose(Vector* square) {
#pragma GCC unroll 4
  for (int lanes = 1; lanes < kWidth; lanes *= 2) {  // a round for each bit
    Vector next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      next[2 * i] = interleave_first(square[i], square[i + kWidth / 2]);
      next[2 * i + 1] = interleave_last(square[i], square[i + kWidth / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) square[i] = next[i];
  }
}

FJORD_HD Vector splat(float value) { return value - Vector{}; }

// What the matrix products multiply: values as they are, or rounded to bf16 in the files that are
// compiled for processors which multiply pairs of those: kPacked operands lie in a float's place:
// neighbours of what is summed over: depths, or tiles.
#if defined(__AVX512BF16__)

constexpr int kPacked = 2;

FJORD_HD void store_operands(float* to, Vector v) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to),
                     reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v))));
}

typedef short Halves __attribute__((vector_size(2 * kWidth * sizeof(short))));

// Lane by lane the operands of two depths.
FJORD_HD Vector paired(Vector first, Vector second) {
  const Halves halves = reinterpret_cast<Halves>(
      _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first)));
  return reinterpret_cast<Vector>(
      __builtin_shufflevector(halves, halves, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                              23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
}

// The lanes of a filter at one of the depths that lie in a float's place, together at the last.
FJORD_HD void store_filter(float* to, Vector v, Vector& before, int place) {
  if (place == 0)
    before = v;
  else
    store_aligned(to, paired(before, v));
}

// The same of tiles that come one after the other: the first waits as floats where both will lie.
FJORD_HD void store_tile(float* to, Vector v, int place) {
  store_aligned(to, place == 0 ? v : paired(load_aligned(to), v));
}

// The operands of one float's place, in every lane.
FJORD_HD Vector splat_operands(const float* from) {
  return reinterpret_cast<Vector>(_mm512_set1_ps(*from));
}

FJORD_HD Vector multiply_add(Vector sum, Vector a, Vector b) {
  return reinterpret_cast<Vector>(_mm512_dpbf16_ps(
      reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
}

#else

constexpr int kPacked = 1;

FJORD_HD void store_operands(float* to, Vector v) { store_aligned(to, v); }
FJORD_HD void store_filter(float* to, Vector v, Vector&, int) { store_aligned(to, v); }
FJORD_HD void store_tile(float* to, Vector v, int) { store_aligned(to, v); }
FJORD_HD Vector splat_operands(const float* from) { return splat(*from); }
FJORD_HD Vector multiply_add(Vector sum, Vector a, Vector b) { return sum + a * b; }

#endif

constexpr int kPlace = kWidth / kPacked;  // floats' places of a vector of operands

}  // namespace

}  // namespace fjord::FJORD_ISA
