// Windows cut out or padded, average pools, interpolation: one thread gathers what a group of W
// neighbouring channels is made of.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/tiles.h"
#include "kernels/cuda/vector.h"
#include "kernels/resize_math.h"
#include "kernels/spatial.h"

namespace fjord::cuda {

namespace {

/// An image in groups of W channels.
template <int W>
Extent extent_in_groups(Shape shape) {
  Extent e = extent(shape);
  e.c /= W;
  return e;
}

/// Where group i of images lies.
struct Place {
  int image, v, u, c;

  __device__ Place(std::int64_t i, const Extent& e) {
    const int row = static_cast<int>(i / (e.w * e.c)), inner = static_cast<int>(i % (e.w * e.c));
    image = row / e.h;
    v = row % e.h;
    u = inner / e.c;
    c = inner % e.c;
  }
  /// The group of this image and these channels elsewhere.
  __device__ std::int64_t at(int row, int column, const Extent& e) const {
    return ((std::int64_t{image} * e.h + row) * e.w + column) * e.c + c;
  }
};

template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    window_values(std::int64_t count, Extent from, Extent to, Window window,
                  const T* __restrict__ x, T* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    const Place place(i, to);
    const int v = place.v - window.top, u = place.u - window.left;
    Floats<W> value{};
    if (v >= 0 && v < from.h && u >= 0 && u < from.w)
      value = load_floats<W>(x + place.at(v, u, from) * W);
    write_floats<W>(y + i * W, value, add);
  }
}

void copy_window(In x, Out y, Window window, Stream& stream) {
  with_type(common_type("window_copy", x, y), [&]<class T>() {
    with_width<T>(y.shape().c, {x.as<T>(), y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t count = y.shape().count() / W;
      launch(window_values<T, W>, blocks_for(count), kThreads, 0, stream, count,
             extent_in_groups<W>(x.shape()), extent_in_groups<W>(y.shape()), window, x.as<T>(),
             y.as<T>(), y.write == Write::add);
    });
  });
}

__device__ int divide_up_int(int a, int b) { return a <= 0 ? 0 : (a + b - 1) / b; }

template <class T, int W, bool backward>
__global__ void __launch_bounds__(kThreads, 4)
    averaged_values(std::int64_t count, Extent image, Extent pooled, AvgPool2d pool,
                    const T* __restrict__ x, T* __restrict__ y, bool add) {
  const Extent& to = backward ? image : pooled;
  const Extent& from = backward ? pooled : image;
  const Pool2d& w = pool.window;
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    const Place place(i, to);
    const int v = place.v, u = place.u;
    const int down = v + w.padding, across = u + w.padding;
    const int top = backward ? max(0, divide_up_int(down - w.kernel + 1, w.stride))
                             : max(0, v * w.stride - w.padding);
    const int left = backward ? max(0, divide_up_int(across - w.kernel + 1, w.stride))
                              : max(0, u * w.stride - w.padding);
    const int bottom = backward ? min(down / w.stride + 1, from.h)
                                : min(v * w.stride - w.padding + w.kernel, from.h);
    const int right = backward ? min(across / w.stride + 1, from.w)
                               : min(u * w.stride - w.padding + w.kernel, from.w);
    Floats<W> sum{};
    for (int r = top; r < bottom; ++r)
      for (int s = left; s < right; ++s) {
        const int area = window_extent((backward ? r : v) * w.stride - w.padding, image.h, pool) *
                         window_extent((backward ? s : u) * w.stride - w.padding, image.w, pool);
        const Floats<W> value = load_floats<W>(x + place.at(r, s, from) * W);
#pragma unroll
        for (int k = 0; k < W; ++k) sum[k] += value[k] / static_cast<float>(area);
      }
    write_floats<W>(y + i * W, sum, add);
  }
}

template <bool backward>
void run_average(const char* slot, In x, Out y, AvgPool2d pool, Stream& stream) {
  const Shape image = backward ? y.shape() : x.shape(), pooled = backward ? x.shape() : y.shape();
  with_type(common_type(slot, x, y), [&]<class T>() {
    with_width<T>(y.shape().c, {x.as<T>(), y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t count = y.shape().count() / W;
      launch(averaged_values<T, W, backward>, blocks_for(count), kThreads, 0, stream, count,
             extent_in_groups<W>(image), extent_in_groups<W>(pooled), pool, x.as<T>(), y.as<T>(),
             y.write == Write::add);
    });
  });
}

void avg_forward(In x, Out y, AvgPool2d pool, Stream& stream) {
  run_average<false>("avg_pool_forward", x, y, pool, stream);
}

void avg_backward(In dy, Out dx, AvgPool2d pool, Stream& stream) {
  run_average<true>("avg_pool_backward", dy, dx, pool, stream);
}

// Forward: y's value is a sum of x's; backward: of what it has a share in.
template <class T, int W, bool backward>
__global__ void __launch_bounds__(kThreads, 2)
    resized_values(std::int64_t count, Extent from, Extent to, ResizeAxis down, ResizeAxis across,
                   const T* __restrict__ x, T* __restrict__ y, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < count; i += std::int64_t{gridDim.x} * kThreads) {
    const Place place(i, to);
    const int v = place.v, u = place.u;
    const int bottom = backward ? down.last_output(v) : down.last_input(v);
    const int right = backward ? across.last_output(u) : across.last_input(u);
    Floats<W> sum{};
    // Columns are not unrolled: the weights of several would take too many registers.
    for (int r = backward ? down.first_output(v) : down.first_input(v); r <= bottom; ++r) {
      const float a = backward ? down.weight(r, v) : down.weight(v, r);
      if (a == 0) continue;
#pragma unroll 1
      for (int s = backward ? across.first_output(u) : across.first_input(u); s <= right; ++s) {
        const float b = backward ? across.weight(s, u) : across.weight(u, s);
        if (b == 0) continue;
        const Floats<W> value = load_floats<W>(x + place.at(r, s, from) * W);
#pragma unroll
        for (int k = 0; k < W; ++k) sum[k] += a * b * value[k];
      }
    }
    write_floats<W>(y + i * W, sum, add);
  }
}

template <bool backward>
void run_resize(const char* slot, In x, Out y, Interpolation mode, Stream& stream) {
  const Shape small = backward ? y.shape() : x.shape(), large = backward ? x.shape() : y.shape();
  const auto axis = [mode](std::int64_t in, std::int64_t out) {
    return ResizeAxis{static_cast<int>(in), static_cast<int>(out), mode};
  };
  with_type(common_type(slot, x, y), [&]<class T>() {
    with_width<T>(y.shape().c, {x.as<T>(), y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t count = y.shape().count() / W;
      launch(resized_values<T, W, backward>, blocks_for(count), kThreads, 0, stream, count,
             extent_in_groups<W>(x.shape()), extent_in_groups<W>(y.shape()), axis(small.h, large.h),
             axis(small.w, large.w), x.as<T>(), y.as<T>(), y.write == Write::add);
    });
  });
}

void resize_values(In x, Out y, Interpolation mode, Stream& stream) {
  run_resize<false>("resize_forward", x, y, mode, stream);
}

void resize_gradient(In dy, Out dx, Interpolation mode, Stream& stream) {
  run_resize<true>("resize_backward", dy, dx, mode, stream);
}

}  // namespace

void fill_resample() {
  window_copy.cuda = copy_window;
  avg_pool_forward.cuda = avg_forward;
  avg_pool_backward.cuda = avg_backward;
  resize_forward.cuda = resize_values;
  resize_backward.cuda = resize_gradient;
}

}  // namespace fjord::cuda
