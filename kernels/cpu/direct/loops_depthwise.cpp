// Rows of the filter gradient of a depthwise convolution: a vector of channels at a time, a row of
// taps in registers over all rows of a block.
#include "kernels/cpu/loops_isa.h"
#include "kernels/cpu/winograd/vector.h"

namespace fjord::FJORD_ISA {

namespace {

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

void depthwise_gradient(const Depthwise& d, double* sums) {
  d.kernel == 3 ? gradient<3>(d, sums) : gradient<5>(d, sums);
}

}  // namespace fjord::FJORD_ISA
