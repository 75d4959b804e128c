// Rows of a depthwise convolution and of its filters' gradient, a vector of channels at a time. The
// outputs: neighbouring pixels in registers, so that a value of the image is loaded once for a
// whole row of taps. The gradient: a row of taps in registers over all rows of a block.
#include "kernels/cpu/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

namespace {

constexpr int kColumns = 8;  // outputs in registers

// Columns of the image that kColumns outputs look at.
template <int kTaps, int kStride>
constexpr int kReads = (kColumns - 1) * kStride + kTaps;

// sums[o] += x of tap u of output o * filter[u]; tap 0 of output 0 looks at column `left`.
template <int kTaps, int kStride, bool kInside>
FJORD_HD void add_taps(const Depthwise& d, const float* row, std::int64_t left,
                       const Vector* filter, Vector* sums) {
#pragma GCC unroll 24
  for (int j = 0; j < kReads<kTaps, kStride>; ++j) {
    if (!kInside && (left + j < 0 || left + j >= d.w)) continue;
    const Vector x = load(row + (left + j) * d.channels);
#pragma GCC unroll 5
    for (int u = 0; u < kTaps; ++u)
      if (j >= u && (j - u) % kStride == 0 && (j - u) / kStride < kColumns)
        sums[(j - u) / kStride] += x * filter[u];
  }
}

// What the next outputs read of a row that is new to the cache: pixels lie too far apart
// for the processor to foresee them.
template <int kTaps, int kStride>
FJORD_HD void fetch_next(const Depthwise& d, const float* row, std::int64_t left) {
  const std::int64_t next = left + kReads<kTaps, kStride>;
  for (std::int64_t j = next; j < next + kColumns * kStride && j < d.w; ++j)
    __builtin_prefetch(row + j * d.channels);
}

// `count` outputs of a row from `column` on, one vector of channels from c on.
template <int kTaps, int kStride>
FJORD_HD void outputs_of_vector(const Depthwise& d, std::int64_t row, std::int64_t column,
                                std::int64_t count, std::int64_t c) {
  const std::int64_t left = column * kStride - d.padding;
  const bool inside = left >= 0 && left + kReads<kTaps, kStride> <= d.w;
  const Vector bias = d.bias ? load(d.bias + c) : Vector{};
  Vector sums[kColumns];
#pragma GCC unroll 8
  for (int o = 0; o < kColumns; ++o) sums[o] = bias;
  for (int v = 0; v < kTaps; ++v) {
    const std::int64_t from = row * kStride - d.padding + v;
    if (from < 0 || from >= d.h) continue;
    Vector filter[kTaps];
#pragma GCC unroll 5
    for (int u = 0; u < kTaps; ++u) filter[u] = load(d.filters + (v * kTaps + u) * d.channels + c);
    const float* x = d.x + from * d.w * d.channels + c;
    if (inside && v >= kTaps - kStride) fetch_next<kTaps, kStride>(d, x, left);
    if (inside)
      add_taps<kTaps, kStride, true>(d, x, left, filter, sums);
    else
      add_taps<kTaps, kStride, false>(d, x, left, filter, sums);
  }
  float* y = d.y + (row * d.out_w + column) * d.channels + c;
#pragma GCC unroll 8
  for (int o = 0; o < kColumns; ++o)
    if (o < count) store(y + o * d.channels, sums[o]);
}

template <int kTaps, int kStride>
void outputs(const Depthwise& d) {
  for (std::int64_t row = d.begin; row < d.end; ++row)
    for (std::int64_t column = 0; column < d.out_w; column += kColumns) {
      const std::int64_t rest = d.out_w - column, count = rest < kColumns ? rest : kColumns;
      for (std::int64_t c = 0; c < d.channels; c += kWidth)
        outputs_of_vector<kTaps, kStride>(d, row, column, count, c);
    }
}

// Output columns of which every tap lies inside the image.
struct Columns {
  std::int64_t begin, end;
  FJORD_HD Columns(const Depthwise& d, int taps)
      : begin((d.padding + d.stride - 1) / d.stride), end(0) {
    const std::int64_t last = d.w - taps + d.padding;
    if (begin > d.out_w) begin = d.out_w;
    if (last >= 0) end = last / d.stride + 1;
    if (end < begin) end = begin;
  }
};

// sums[u] += x of tap u * dy, over one row; x is the image's row that the taps look at.
template <int kTaps>
FJORD_HD void add_row(const Depthwise& d, const float* x, const float* dy, Vector* sums) {
  const Columns inside(d, kTaps);
  for (std::int64_t o = inside.begin > 0 ? 0 : inside.end; o < d.out_w;
       o = o + 1 == inside.begin ? inside.end : o + 1) {
    const Vector gradient = load(dy + o * d.channels);
    for (int u = 0; u < kTaps; ++u) {
      const std::int64_t column = o * d.stride - d.padding + u;
      if (column >= 0 && column < d.w) sums[u] += load(x + column * d.channels) * gradient;
    }
  }
  for (std::int64_t o = inside.begin; o < inside.end; ++o) {
    const Vector gradient = load(dy + o * d.channels);
    const float* at = x + (o * d.stride - d.padding) * d.channels;
#pragma GCC unroll 5
    for (int u = 0; u < kTaps; ++u) sums[u] += load(at + u * d.channels) * gradient;
  }
}

// Row v of the taps, for one vector of channels.
template <int kTaps>
FJORD_HD void gradient_of_taps(const Depthwise& d, std::int64_t c, int v, double* total) {
  Vector sums[kTaps] = {};
  for (std::int64_t row = d.begin; row < d.end; ++row) {
    const std::int64_t from = row * d.stride - d.padding + v;
    if (from < 0 || from >= d.h) continue;
    add_row<kTaps>(d, d.x + from * d.w * d.channels + c, d.dy + row * d.out_w * d.channels + c,
                   sums);
  }
  for (int u = 0; u < kTaps; ++u)
    for (int lane = 0; lane < kWidth; ++lane)
      total[((c + lane) * kTaps + v) * kTaps + u] += static_cast<double>(sums[u][lane]);
}

template <int kTaps>
void gradient(const Depthwise& d, double* sums) {
  for (std::int64_t c = 0; c < d.channels; c += kWidth)
    for (int v = 0; v < kTaps; ++v) gradient_of_taps<kTaps>(d, c, v, sums);
}

}  // namespace

void depthwise(const Depthwise& d) {
  if (d.kernel == 3)
    d.stride == 1 ? outputs<3, 1>(d) : outputs<3, 2>(d);
  else
    d.stride == 1 ? outputs<5, 1>(d) : outputs<5, 2>(d);
}

void depthwise_gradient(const Depthwise& d, double* sums) {
  d.kernel == 3 ? gradient<3>(d, sums) : gradient<5>(d, sums);
}

}  // namespace fjord::FJORD_ISA
