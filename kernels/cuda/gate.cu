// Squeeze and excite: scaling by a number a channel or a pixel, and the sums that are its
// gradients.
#include "kernels/gate.h"

#include <bit>

#include "kernels/cuda/channels.h"

namespace fjord::cuda {

namespace {

template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    scale_values(std::int64_t packs, std::int64_t packs_per_row, int groups,
                 const T* __restrict__ x, const T* __restrict__ s, T* __restrict__ y, float factor,
                 bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < packs; i += std::int64_t{gridDim.x} * kThreads) {
    Floats<W> value = load_floats<W>(s + (i / packs_per_row * groups + i % groups) * W);
    Floats<W> from;
    if (x) from = load_floats<W>(x + i * W);
#pragma unroll
    for (int k = 0; k < W; ++k) value[k] *= factor * (x ? from[k] : 1.0f);
    write_floats<W>(y + i * W, value, add);
  }
}

void scale(In x, In s, Out y, double factor, Stream& stream) {
  with_type(common_type("channel_scale", x, s, y), [&]<class T>() {
    const T *from = optional_data<T>(x), *by = s.as<T>();
    with_width<T>(y.shape().c, {from, by, y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t packs = y.shape().count() / W;
      launch(scale_values<T, W>, blocks_for(packs), kThreads, 0, stream, packs, packs / s.shape().n,
             static_cast<int>(y.shape().c / W), from, by, y.as<T>(), static_cast<float>(factor),
             y.write == Write::add);
    });
  });
}

constexpr int kSumLanes = 32;  // neighbouring channels of a block

// A block sums all pixels of a row of y for its channels; its threads share the pixels out.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_pixels(std::int64_t pixels, int channels, const T* __restrict__ a, const T* __restrict__ b,
               Target<T> y, double factor) {
  const int lane = static_cast<int>(threadIdx.x) % kSumLanes;
  const int c = static_cast<int>(blockIdx.x) * kSumLanes + lane;
  const std::int64_t start = blockIdx.y * pixels;
  double sum[1] = {};
  if (c < channels)
    for (std::int64_t p = threadIdx.x / kSumLanes; p < pixels; p += kThreads / kSumLanes) {
      const std::int64_t i = (start + p) * channels + c;
      const float value = to_float(a[i]) * (b ? to_float(b[i]) : 1.0f);
      sum[0] += static_cast<double>(value);
    }
  add_rows(sum, kSumLanes, kThreads / kSumLanes, dynamic_shared<double>());
  if (threadIdx.x < kSumLanes && c < channels)
    write_value(y, std::int64_t{blockIdx.y} * channels + c, factor * sum[0]);
}

void sums(In a, In b, Out y, double factor, Stream& stream) {
  with_type(common_type("channel_sums", a, b, y), [&]<class T>() {
    const std::int64_t channels = y.shape().c, rows = y.shape().n;
    const dim3 grid(static_cast<unsigned>(divide_up(channels, kSumLanes)),
                    static_cast<unsigned>(rows));
    launch(sum_pixels<T>, grid, kThreads, add_rows_bytes<double, 1>, stream,
           a.shape().pixels() / rows, static_cast<int>(channels), a.as<T>(), optional_data<T>(b),
           target<T>(y), factor);
  });
}

template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    scale_pixel_values(std::int64_t packs, std::int64_t groups, const T* __restrict__ x,
                       const T* __restrict__ s, T* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < packs; i += std::int64_t{gridDim.x} * kThreads) {
    Floats<W> value = load_floats<W>(x + i * W);
    const float factor = to_float(s[i / groups]);
#pragma unroll
    for (int k = 0; k < W; ++k) value[k] *= factor;
    write_floats<W>(y + i * W, value, add);
  }
}

void scale_pixels(In x, In s, Out y, Stream& stream) {
  with_type(common_type("pixel_scale", x, s, y), [&]<class T>() {
    with_width<T>(y.shape().c, {x.as<T>(), y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t packs = y.shape().count() / W;
      launch(scale_pixel_values<T, W>, blocks_for(packs), kThreads, 0, stream, packs,
             y.shape().c / W, x.as<T>(), s.as<T>(), y.as<T>(), y.write == Write::add);
    });
  });
}

// `lanes` threads of a warp a pixel, so that they read its channels side by side.
template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    sum_channels(std::int64_t pixels, int groups, int lanes, const T* __restrict__ a,
                 const T* __restrict__ b, Target<T> y) {
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const std::int64_t p = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / lanes;
  double sum = 0;
  for (int g = lane; p < pixels && g < groups; g += lanes) {
    const std::int64_t i = (p * groups + g) * W;
    const Floats<W> left = load_floats<W>(a + i), right = load_floats<W>(b + i);
#pragma unroll
    for (int k = 0; k < W; ++k) sum += static_cast<double>(left[k] * right[k]);
  }
  for (int m = lanes / 2; m > 0; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
  if (lane == 0 && p < pixels) write_value(y, p, sum);
}

void sum_of_channels(In a, In b, Out y, Stream& stream) {
  with_type(common_type("pixel_sums", a, b, y), [&]<class T>() {
    with_width<T>(a.shape().c, {a.as<T>(), b.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t pixels = y.shape().pixels();
      const auto groups = static_cast<unsigned>(a.shape().c / W);
      const unsigned lanes = std::bit_ceil(std::min(groups, 32u));
      launch(sum_channels<T, W>, static_cast<unsigned>(divide_up(pixels * lanes, kThreads)),
             kThreads, 0, stream, pixels, groups, lanes, a.as<T>(), b.as<T>(), target<T>(y));
    });
  });
}

// `terms` groups of neighbouring channels beside each other, in x or (where each is a copy) in y;
// i counts packs of the narrow tensor.
template <class T, int W, bool copies>
__global__ void __launch_bounds__(kThreads)
    folded_values(std::int64_t packs, int groups, int terms, const T* __restrict__ x,
                  T* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < packs; i += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t at = i / groups * (std::int64_t{groups} * terms) + i % groups;
    const auto place = [&](int t) { return (at + std::int64_t{t} * groups) * W; };
    Floats<W> value{};
    if constexpr (copies) {
      value = load_floats<W>(x + i * W);
#pragma unroll 2
      for (int t = 0; t < terms; ++t) write_floats<W>(y + place(t), value, add);
    } else {
      for (int t = 0; t < terms; ++t) {
        const Floats<W> more = load_floats<W>(x + place(t));
#pragma unroll
        for (int k = 0; k < W; ++k) value[k] += more[k];
      }
      write_floats<W>(y + i * W, value, add);
    }
  }
}

template <bool copies>
void run_fold(const char* slot, In x, Out y, Stream& stream) {
  const Shape narrow = copies ? x.shape() : y.shape(), wide = copies ? y.shape() : x.shape();
  with_type(common_type(slot, x, y), [&]<class T>() {
    with_width<T>(narrow.c, {x.as<T>(), y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t packs = narrow.count() / W;
      launch(folded_values<T, W, copies>, blocks_for(packs), kThreads, 0, stream, packs,
             static_cast<int>(narrow.c / W), static_cast<int>(wide.c / narrow.c), x.as<T>(),
             y.as<T>(), y.write == Write::add);
    });
  });
}

void fold(In x, Out y, Stream& stream) { run_fold<false>("channel_fold", x, y, stream); }
void repeat(In dy, Out dx, Stream& stream) { run_fold<true>("channel_repeat", dy, dx, stream); }

template <class T>
__global__ void __launch_bounds__(kThreads)
    softmax_values(std::int64_t sums, SplitSoftmax s, std::int64_t width, const T* __restrict__ x,
                   T* __restrict__ y, bool add) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= sums) return;
  const SplitPlace place(i, s.groups, s.splits, width);
  float largest = to_float(x[place.grouped(0)]), sum = 0;
  for (int k = 1; k < s.splits; ++k) largest = fmaxf(largest, to_float(x[place.grouped(k)]));
  for (int k = 0; k < s.splits; ++k) sum += expf(to_float(x[place.grouped(k)]) - largest);
  for (int k = 0; k < s.splits; ++k)
    write_floats<1>(y + place.split(k),
                    Floats<1>{{expf(to_float(x[place.grouped(k)]) - largest) / sum}}, add);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    softmax_gradients(std::int64_t sums, SplitSoftmax s, std::int64_t width,
                      const T* __restrict__ y, const T* __restrict__ dy, T* __restrict__ dx,
                      bool add) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= sums) return;
  const SplitPlace place(i, s.groups, s.splits, width);
  float sum = 0;
  for (int k = 0; k < s.splits; ++k)
    sum += to_float(y[place.split(k)]) * to_float(dy[place.split(k)]);
  for (int k = 0; k < s.splits; ++k)
    write_floats<1>(dx + place.grouped(k),
                    Floats<1>{{to_float(y[place.split(k)]) * (to_float(dy[place.split(k)]) - sum)}},
                    add);
}

void softmax(In x, Out y, SplitSoftmax s, Stream& stream) {
  with_type(common_type("split_softmax_forward", x, y), [&]<class T>() {
    const std::int64_t sums = x.shape().count() / s.splits;
    launch(softmax_values<T>, static_cast<unsigned>(divide_up(sums, kThreads)), kThreads, 0, stream,
           sums, s, x.shape().c / s.groups / s.splits, x.as<T>(), y.as<T>(), y.write == Write::add);
  });
}

void softmax_gradient(In y, In dy, Out dx, SplitSoftmax s, Stream& stream) {
  with_type(common_type("split_softmax_backward", y, dy, dx), [&]<class T>() {
    const std::int64_t sums = y.shape().count() / s.splits;
    launch(softmax_gradients<T>, static_cast<unsigned>(divide_up(sums, kThreads)), kThreads, 0,
           stream, sums, s, y.shape().c / s.groups / s.splits, y.as<T>(), dy.as<T>(), dx.as<T>(),
           dx.write == Write::add);
  });
}

}  // namespace

void fill_gate() {
  channel_scale.cuda = scale;
  channel_sums.cuda = sums;
  pixel_scale.cuda = scale_pixels;
  pixel_sums.cuda = sum_of_channels;
  channel_fold.cuda = fold;
  channel_repeat.cuda = repeat;
  split_softmax_forward.cuda = softmax;
  split_softmax_backward.cuda = softmax_gradient;
}

}  // namespace fjord::cuda
