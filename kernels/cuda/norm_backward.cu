// Gradients of batch normalisation: their sums per channel, and the pass that applies them.
#include "kernels/cuda/channels.h"
#include "kernels/cuda/norm_sums.h"
#include "kernels/instance_norm.h"
#include "kernels/norm.h"

namespace fjord::cuda {

namespace {

/// Where the sign of the activation comes from.
enum class Mask : std::uint8_t { none, from_x, from_y };

/// Vectors that these kernels read; null where they do not need them.
struct Factors {
  const float *scale = nullptr, *shift = nullptr, *mean = nullptr, *inv_std = nullptr,
              *sums = nullptr;
};

// dz: dy where the activation let the value pass. A NaN passes, so that it is found where it arose.
template <Mask mask, int W, class T>
__device__ Floats<W> masked(Floats<W> dz, const Floats<W>& x, const T* __restrict__ y,
                            const Floats<W>& scale, const Floats<W>& shift) {
  if constexpr (mask != Mask::none) {
    Floats<W> value;
    if constexpr (mask == Mask::from_y) value = load_floats<W>(y);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      if constexpr (mask == Mask::from_x) value[k] = x[k] * scale[k] + shift[k];
      if (value[k] <= 0) dz[k] = 0;
    }
  }
  return dz;
}

template <class T, int W, Mask mask>
__global__ void __launch_bounds__(kThreads, 2)
    gradient_rows(ChannelBlocks blocks, const T* __restrict__ xs, const T* __restrict__ ys,
                  const T* __restrict__ dys, Factors v, float* __restrict__ partial) {
  const std::int64_t channels = std::int64_t{blocks.groups} * W, at = blocks.group() * W;
  float sums[2 * W] = {};
  if (blocks.active()) {
    const Floats<W> center = load_floats<W>(v.mean + at);
    Floats<W> scale{}, shift{};
    if constexpr (mask == Mask::from_x) {
      scale = load_floats<W>(v.scale + at);
      shift = load_floats<W>(v.shift + at);
    }
#pragma unroll 2
    for (std::int64_t p = blocks.begin() + blocks.row(); p < blocks.end(); p += blocks.rows) {
      const std::int64_t i = p * channels + at;
      const Floats<W> x = load_floats<W>(xs + i);
      const Floats<W> dz = masked<mask>(load_floats<W>(dys + i), x, ys + i, scale, shift);
#pragma unroll
      for (int k = 0; k < W; ++k) {
        sums[k] += dz[k];
        sums[W + k] += dz[k] * (x[k] - center[k]);
      }
    }
  }
  add_rows(sums, blocks.lanes, blocks.rows, dynamic_shared<float>());
  if (blocks.row() != 0 || !blocks.active()) return;
  Floats<W> dz, dz_centered;
#pragma unroll
  for (int k = 0; k < W; ++k) {
    dz[k] = sums[k];
    dz_centered[k] = sums[W + k];
  }
  float* const row = partial + blockIdx.x * 2 * channels + at;
  store_floats<W>(row, dz);
  store_floats<W>(row + channels, dz_centered);
}

__global__ void __launch_bounds__(kThreads)
    gradient_merge(unsigned rows, std::int64_t channels, const float* __restrict__ partial,
                   const float* __restrict__ inv_std, Target<float> sums, Target<float> dgamma,
                   Target<float> dbeta) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeLanes + threadIdx.x % kMergeLanes;
  double total[2] = {};
#pragma unroll 4
  for (unsigned i = threadIdx.x / kMergeLanes; i < rows && c < channels;
       i += kThreads / kMergeLanes) {
    total[0] += static_cast<double>(partial[i * 2 * channels + c]);
    total[1] += static_cast<double>(partial[(i * 2 + 1) * channels + c]);
  }
  add_rows(total, kMergeLanes, kThreads / kMergeLanes, dynamic_shared<double>());
  if (threadIdx.x >= kMergeLanes || c >= channels) return;
  const double dz_xhat = total[1] * static_cast<double>(inv_std[c]);
  write_value(sums, c, total[0]);
  write_value(sums, channels + c, dz_xhat);
  write_value(dbeta, c, total[0]);
  write_value(dgamma, c, dz_xhat);
}

/// body.template operator()<mask>()
template <class Body>
void with_mask(Act act, In y, const Body& body) {
  if (act == Act::none)
    body.template operator()<Mask::none>();
  else if (y)
    body.template operator()<Mask::from_y>();
  else
    body.template operator()<Mask::from_x>();
}

void backward_reduce(In x, In y, In dy, In scale, In shift, In mean, In inv_std, Out sums,
                     Out dgamma, Out dbeta, Act act, Stream& stream) {
  const std::int64_t channels = x.shape().c;
  const Factors v{
      .scale = scale.as<float>(), .shift = optional_data<float>(shift), .mean = mean.as<float>()};
  with_type(common_type("batch_norm_backward_reduce", x, y, dy), [&]<class T>() {
    const T *xs = x.as<T>(), *ys = optional_data<T>(y), *dys = dy.as<T>();
    with_width<T>(channels, {xs, ys, dys, v.scale, v.shift, v.mean}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const ChannelBlocks blocks = channel_blocks<T, W>(x.shape());
      float* const partial = partial_rows(blocks, channels, 2, stream);
      with_mask(act, y, [&]<Mask mask>() {
        launch(gradient_rows<T, W, mask>, blocks.grid(), kThreads, add_rows_bytes<float, 2 * W>,
               stream, blocks, xs, ys, dys, v, partial);
      });
      merge_gradient_sums(blocks.along_pixels(), channels, partial, inv_std, sums, dgamma, dbeta,
                          stream);
    });
  });
}

// dx and dresidual may be one tensor: dx is written first.
template <class T, int W, Mask mask, bool centered>
__global__ void __launch_bounds__(kThreads)
    backward_values(FixedChannels channels, const T* __restrict__ xs, const T* __restrict__ ys,
                    const T* __restrict__ dys, Factors v, Target<T> dx, Target<T> dresidual) {
  const int at = channels.group() * W;
  const float pixels = static_cast<float>(channels.count / channels.groups);
  const Floats<W> scale = load_floats<W>(v.scale + at);
  Floats<W> shift{}, mean{}, mean_dz{}, slope{};
  if constexpr (mask == Mask::from_x) shift = load_floats<W>(v.shift + at);
  if constexpr (centered) {
    mean = load_floats<W>(v.mean + at);
    mean_dz = load_floats<W>(v.sums + at);
    slope = load_floats<W>(v.sums + channels.groups * W + at);
    const Floats<W> inv_std = load_floats<W>(v.inv_std + at);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      mean_dz[k] /= pixels;
      slope[k] = slope[k] / pixels * inv_std[k];
    }
  }
  const bool reads_x = mask == Mask::from_x || (centered && dx.data);
#pragma unroll 2
  for (std::int64_t i = channels.first() * W; i < channels.count * W; i += channels.stride() * W) {
    Floats<W> x{};
    if (reads_x) x = load_floats<W>(xs + i);
    Floats<W> dz = masked<mask>(load_floats<W>(dys + i), x, ys + i, scale, shift);
    if (dx.data) {
      Floats<W> result;
#pragma unroll
      for (int k = 0; k < W; ++k) {
        const float rest = centered ? dz[k] - mean_dz[k] - (x[k] - mean[k]) * slope[k] : dz[k];
        result[k] = scale[k] * rest;
      }
      write_floats<W>(dx.data + i, result, dx.add);
    }
    if (dresidual.data) write_floats<W>(dresidual.data + i, dz, dresidual.add);
  }
}

template <bool centered>
void run_backward(In x, In y, In dy, const Factors& v, Out dx, Out dresidual, Act act,
                  Stream& stream) {
  const char* const slot = centered ? "batch_norm_backward_apply" : "scale_shift_backward";
  with_type(common_type(slot, x, y, dy, dx, dresidual), [&]<class T>() {
    const T *xs = optional_data<T>(x), *ys = optional_data<T>(y), *dys = dy.as<T>();
    const Target<T> to = target<T>(dx), to_residual = target<T>(dresidual);
    const std::initializer_list<const void*> addresses{
        xs, ys, dys, v.scale, v.shift, v.mean, v.inv_std, v.sums, to.data, to_residual.data};
    with_width<T>(dy.shape().c, addresses, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const FixedChannels channels = fixed_channels(dy.shape(), W);
      with_mask(act, y, [&]<Mask mask>() {
        launch(backward_values<T, W, mask, centered>, channels.blocks, kThreads, 0, stream,
               channels, xs, ys, dys, v, to, to_residual);
      });
    });
  });
}

void backward_apply(In x, In y, In dy, In scale, In shift, In mean, In inv_std, In sums, Out dx,
                    Out dresidual, Act act, Stream& stream) {
  const Factors v{.scale = scale.as<float>(),
                  .shift = optional_data<float>(shift),
                  .mean = mean.as<float>(),
                  .inv_std = inv_std.as<float>(),
                  .sums = sums.as<float>()};
  run_backward<true>(x, y, dy, v, dx, dresidual, act, stream);
}

void constant_backward(In x, In y, In dy, In scale, In shift, Out dx, Out dresidual, Act act,
                       Stream& stream) {
  const Factors v{.scale = scale.as<float>(), .shift = optional_data<float>(shift)};
  run_backward<false>(x, y, dy, v, dx, dresidual, act, stream);
}

}  // namespace

void merge_gradient_sums(unsigned rows, std::int64_t channels, const float* partial, In inv_std,
                         Out sums, Out dgamma, Out dbeta, Stream& stream) {
  launch(gradient_merge, merge_blocks(channels), kThreads, add_rows_bytes<double, 2>, stream, rows,
         channels, partial, inv_std.as<float>(), target<float>(sums), target<float>(dgamma),
         target<float>(dbeta));
}

void fill_norm_backward() {
  batch_norm_backward_reduce.cuda = backward_reduce;
  batch_norm_backward_apply.cuda = backward_apply;
  scale_shift_backward.cuda = constant_backward;
  instance_norm_forward.cuda = normalize_images;
  instance_norm_backward.cuda = normalize_images_backward;
}

}  // namespace fjord::cuda
