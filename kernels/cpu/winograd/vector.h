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

// The first `count` values, fewer than a vector; zero behind them.
FJORD_HD Vector load_part(const float* from, std::int64_t count) {
  Vector v{};
  for (std::int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
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

FJORD_HD Vector splat(float value) { return value - Vector{}; }

}  // namespace

}  // namespace fjord::FJORD_ISA
