// The micro-kernels: small matrix products that keep their sums in registers.
#include "kernels/cpu/winograd/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

namespace {

// products[v][row] = sum over depth of pixels[depth / width][row][depth % width] *
// filters[depth][v] for the rows from `begin`.
template <int rows, int vectors>
__attribute__((noinline)) void multiply_rows(const PointProduct& p, std::int64_t begin) {
  const float* row = p.pixels + begin * kPlace;
  const float* filters = p.filters;
  float* products = p.products + begin * kWidth;
  Vector sum[rows][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = p.add ? load_aligned(products + v * p.product_step + r * kWidth) : Vector{};
  for (std::int64_t block = 0; block < p.depth; block += kWidth, row += p.pixel_step) {
#pragma GCC unroll 2
    for (int k = 0; k < kPlace; ++k, filters += vectors * kWidth) {
      Vector filter[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) filter[v] = load_aligned(filters + v * kWidth);
#pragma GCC unroll 32
      for (int r = 0; r < rows; ++r) {
        const Vector pixel = splat_operands(row + r * kPlace + k);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum[r][v] = multiply_add(sum[r][v], pixel, filter[v]);
      }
    }
  }
#pragma GCC unroll 2
  for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r)
      store_aligned(products + v * p.product_step + r * kWidth, sum[r][v]);
}

// sums[row][v] (+)= sum over slots of gradients[slot][row] * pixels[slot][v]
template <int vectors>
__attribute__((noinline)) void accumulate_rows(std::int64_t slots,
                                               const float* __restrict gradients,
                                               const float* __restrict pixels,
                                               float* __restrict sums, bool first) {
  Vector sum[kGradientRows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kGradientRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = first ? Vector{} : load_aligned(sums + (r * vectors + v) * kWidth);
#pragma GCC unroll 2
  for (std::int64_t t = 0; t < slots; ++t, gradients += kWidth, pixels += vectors * kWidth) {
    Vector pixel[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) pixel[v] = load_aligned(pixels + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kGradientRows; ++r) {
      const Vector gradient = splat_operands(gradients + r);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[r][v] = multiply_add(sum[r][v], gradient, pixel[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kGradientRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) store_aligned(sums + (r * vectors + v) * kWidth, sum[r][v]);
}

using MultiplyRows = void (*)(const PointProduct&, std::int64_t);

// The micro-kernel of 1 to `most` rows, by number of rows.
template <int most, int vectors>
struct ByRows {
  MultiplyRows of[most + 1] = {};
  constexpr ByRows() { fill<most>(); }

 private:
  template <int rows>
  constexpr void fill() {
    of[rows] = multiply_rows<rows, vectors>;
    if constexpr (rows > 1) fill<rows - 1>();
  }
};
constexpr ByRows<kWideRows, 2> kWide;
constexpr ByRows<kNarrowRows, 1> kNarrow;

}  // namespace

void winograd_multiply(const PointProduct& p) {
  const std::int64_t most = p.vectors == 2 ? kWideRows : kNarrowRows;
  const std::int64_t calls = (p.tiles + most - 1) / most;
  for (std::int64_t i = 0; i < calls; ++i) {
    const std::int64_t begin = p.tiles * i / calls, rows = p.tiles * (i + 1) / calls - begin;
    (p.vectors == 2 ? kWide.of[rows] : kNarrow.of[rows])(p, begin);
  }
}

void winograd_accumulate(std::int64_t slots, int vectors, const float* gradients,
                         const float* pixels, float* sums, bool first) {
  for (int r = 0; r < kWidth; r += kGradientRows) {
    float* rows = sums + r * vectors * kWidth;
    if (vectors == 2)
      accumulate_rows<2>(slots, gradients + r, pixels, rows, first);
    else
      accumulate_rows<1>(slots, gradients + r, pixels, rows, first);
  }
}

}  // namespace fjord::FJORD_ISA
