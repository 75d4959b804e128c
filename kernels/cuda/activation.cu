// Activations that are passes of their own, and random masks.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"
#include "kernels/pointwise.h"

namespace fjord::cuda {

namespace {

/// y = act(x), or dy * act'(x) where dy is given.
template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    activation_values(std::int64_t packs, const T* __restrict__ x, const T* __restrict__ dy,
                      T* __restrict__ y, Act act, bool add) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::int64_t i = first; i < packs; i += std::int64_t{gridDim.x} * kThreads) {
    Floats<W> value = load_floats<W>(x + i * W);
    if (dy) {
      const Floats<W> gradient = load_floats<W>(dy + i * W);
#pragma unroll
      for (int k = 0; k < W; ++k) value[k] = gradient[k] * activation_slope(value[k], act);
    } else {
#pragma unroll
      for (int k = 0; k < W; ++k) value[k] = activated(value[k], act);
    }
    write_floats<W>(y + i * W, value, add);
  }
}

void run(const char* slot, In x, In dy, Out y, Act act, Stream& stream) {
  with_type(common_type(slot, x, dy, y), [&]<class T>() {
    const T *from = x.as<T>(), *gradient = optional_data<T>(dy);
    with_width<T>(x.shape().count(), {from, gradient, y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const std::int64_t packs = x.shape().count() / W;
      launch(activation_values<T, W>, blocks_for(packs), kThreads, 0, stream, packs, from, gradient,
             y.as<T>(), act, y.write == Write::add);
    });
  });
}

void activate(In x, Out y, Act act, Stream& stream) {
  run("activate_forward", x, {}, y, act, stream);
}

void activate_gradient(In x, In dy, Out dx, Act act, Stream& stream) {
  run("activate_backward", x, dy, dx, act, stream);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    mask_values(std::int64_t count, const std::int64_t* steps, T* y, RandomMask mask, bool add) {
  const auto step = static_cast<std::uint32_t>(*steps);
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) write_floats<1>(y + i, Floats<1>{{mask_value(mask, step, i)}}, add);
}

void mask(In steps, Out y, RandomMask mask, Stream& stream) {
  with_type(y.dtype(), [&]<class T>() {
    const std::int64_t count = y.shape().count();
    launch(mask_values<T>, static_cast<unsigned>(divide_up(count, kThreads)), kThreads, 0, stream,
           count, steps.as<std::int64_t>(), y.as<T>(), mask, y.write == Write::add);
  });
}

}  // namespace

void fill_activation() {
  activate_forward.cuda = activate;
  activate_backward.cuda = activate_gradient;
  random_mask.cuda = mask;
}

}  // namespace fjord::cuda
