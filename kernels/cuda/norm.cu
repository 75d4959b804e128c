// Batch normalisation: statistics, the vectors made of them, the apply pass.
#include "kernels/norm.h"

#include "kernels/cuda/channels.h"
#include "kernels/cuda/norm_sums.h"

namespace fjord::cuda {

namespace {

// Sums of a thread's pixels: of their differences from its first one, so that a large mean costs no
// digits, and of the squares of those.
template <int W>
struct Moments {
  Floats<W> first;
  float sums[2 * W];
  float count;
};

template <int W, class T>
__device__ Moments<W> moments_of(const ChannelBlocks& blocks, const T* __restrict__ x) {
  const std::int64_t channels = std::int64_t{blocks.groups} * W, at = blocks.group() * W;
  Moments<W> m{};
  std::int64_t p = blocks.begin() + blocks.row();
  if (!blocks.active() || p >= blocks.end()) return m;
  m.first = load_floats<W>(x + p * channels + at);
  m.count = 1;
#pragma unroll 4
  for (p += blocks.rows; p < blocks.end(); p += blocks.rows) {
    const Floats<W> value = load_floats<W>(x + p * channels + at);
    m.count += 1;
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const float d = value[k] - m.first[k];
      m.sums[k] += d;
      m.sums[W + k] += d * d;
    }
  }
  return m;
}

// What all threads of a block measure from: the mean of its first row, in two parts, since rounded
// to one float it would cost the digits that the first values saved.
template <int W>
struct Origin {
  Floats<W> value, offset;
};

// Moves the sums to the block's common origin. What follows may write to `shared` from 2 W rows on
// before another barrier: add_rows() does, since blocks have at least 4 W rows.
template <int W>
__device__ Origin<W> share_origin(const ChannelBlocks& blocks, Moments<W>& m, float* shared) {
  const float inverse = m.count > 0 ? 1 / m.count : 0;
  float* const values = shared + blocks.lane() * W;
  float* const offsets = values + blocks.lanes * W;
#pragma unroll
  for (int k = 0; k < W; ++k) {
    m.sums[W + k] -= m.sums[k] * m.sums[k] * inverse;
    if (blocks.row() == 0) values[k] = m.first[k], offsets[k] = m.sums[k] * inverse;
  }
  __syncthreads();
  Origin<W> origin;
#pragma unroll
  for (int k = 0; k < W; ++k) {
    origin.value[k] = values[k];
    origin.offset[k] = offsets[k];
    float d = m.first[k] - origin.value[k] + (m.sums[k] * inverse - origin.offset[k]);
    if (m.count == 0) d = 0;
    m.sums[k] = m.count * d;
    m.sums[W + k] += m.count * d * d;
  }
  return origin;
}

// The mean of a block's pixels, what rounding took from it, and the sum of their squared
// deviations.
template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    statistics_rows(ChannelBlocks blocks, const T* __restrict__ x, float* __restrict__ partial) {
  float* const shared = dynamic_shared<float>();
  Moments<W> m = moments_of<W>(blocks, x);
  const Origin<W> origin = share_origin(blocks, m, shared);
  add_rows(m.sums, blocks.lanes, blocks.rows, shared);
  if (blocks.row() != 0 || !blocks.active()) return;
  const float pixels = static_cast<float>(blocks.end() - blocks.begin());
  Floats<W> mean, rest, deviations;
#pragma unroll
  for (int k = 0; k < W; ++k) {
    const float d = m.sums[k] / pixels;
    mean[k] = origin.value[k] + (origin.offset[k] + d);
    rest[k] = origin.value[k] - mean[k] + (origin.offset[k] + d);
    deviations[k] = m.sums[W + k] - m.sums[k] * d;
  }
  const std::int64_t channels = std::int64_t{blocks.groups} * W;
  float* const row = partial + blockIdx.x * 3 * channels + blocks.group() * W;
  store_floats<W>(row, mean);
  store_floats<W>(row + channels, rest);
  store_floats<W>(row + 2 * channels, deviations);
}

// Moments of the union of all blocks, in double: their deviations, and those of their means about
// the first one's.
__global__ void __launch_bounds__(kThreads)
    statistics_merge(ChannelBlocks blocks, unsigned rows, std::int64_t channels,
                     const float* __restrict__ partial, Target<float> mean,
                     Target<float> variance) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeLanes + threadIdx.x % kMergeLanes;
  const double pivot = c < channels ? static_cast<double>(partial[c]) : 0;
  double sums[2] = {};
#pragma unroll 4
  for (unsigned i = threadIdx.x / kMergeLanes; i < rows && c < channels;
       i += kThreads / kMergeLanes) {
    const float* const row = partial + i * 3 * channels;
    const std::int64_t begin = i * blocks.per_block;
    const double pixels = static_cast<double>(min(blocks.per_block, blocks.pixels - begin));
    const double d = static_cast<double>(row[c]) - pivot + static_cast<double>(row[channels + c]);
    sums[0] += pixels * d;
    sums[1] += static_cast<double>(row[2 * channels + c]) + pixels * d * d;
  }
  add_rows(sums, kMergeLanes, kThreads / kMergeLanes, dynamic_shared<double>());
  if (threadIdx.x >= kMergeLanes || c >= channels) return;
  const double count = static_cast<double>(blocks.pixels), d = sums[0] / count;
  write_value(mean, c, pivot + d);
  write_value(variance, c, (sums[1] - sums[0] * d) / count);
}

// The same of parts that each say how many pixels they have.
__global__ void __launch_bounds__(kThreads)
    moments_merge(unsigned rows, std::int64_t channels, const float* __restrict__ partial,
                  Target<float> mean, Target<float> variance) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeLanes + threadIdx.x % kMergeLanes;
  const double pivot = c < channels ? static_cast<double>(partial[channels + c]) : 0;
  double sums[3] = {};
#pragma unroll 4
  for (unsigned i = threadIdx.x / kMergeLanes; i < rows && c < channels;
       i += kThreads / kMergeLanes) {
    const float* const row = partial + i * 3 * channels;
    const double pixels = static_cast<double>(row[c]);
    const double d = static_cast<double>(row[channels + c]) - pivot;
    sums[0] += pixels;
    sums[1] += pixels * d;
    sums[2] += static_cast<double>(row[2 * channels + c]) + pixels * d * d;
  }
  add_rows(sums, kMergeLanes, kThreads / kMergeLanes, dynamic_shared<double>());
  if (threadIdx.x >= kMergeLanes || c >= channels) return;
  const double d = sums[1] / sums[0];
  write_value(mean, c, pivot + d);
  write_value(variance, c, (sums[2] - sums[1] * d) / sums[0]);
}

void statistics(In x, Out mean, Out variance, Stream& stream) {
  const std::int64_t channels = x.shape().c;
  with_type(x.dtype(), [&]<class T>() {
    with_width<T>(channels, {x.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const ChannelBlocks blocks = channel_blocks<T, W>(x.shape());
      float* const partial = partial_rows(blocks, channels, 3, stream);
      launch(statistics_rows<T, W>, blocks.grid(), kThreads, add_rows_bytes<float, 2 * W>, stream,
             blocks, x.as<T>(), partial);
      launch(statistics_merge, merge_blocks(channels), kThreads, add_rows_bytes<double, 2>, stream,
             blocks, blocks.along_pixels(), channels, partial, target<float>(mean),
             target<float>(variance));
    });
  });
}

// What batch_norm_finalize and batch_norm_fold read and write.
struct Vectors {
  const float *mean, *variance, *gamma, *beta;
  float *running_mean, *running_var;
  std::int64_t* batches;
  Target<float> scale, shift, inv_std;
  std::int64_t channels;
  double unbiased, eps, momentum;
};

__device__ void update_running(float* running, std::int64_t c, double batch, double momentum) {
  if (!running) return;
  running[c] =
      static_cast<float>((1.0 - momentum) * static_cast<double>(running[c]) + momentum * batch);
}

__global__ void finalize_vectors(Vectors v) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c == 0 && v.batches) ++*v.batches;
  if (c >= v.channels) return;
  const double mean = v.mean[c], variance = v.variance[c];
  const double inverse = 1.0 / sqrt(variance + v.eps);
  const double slope = static_cast<double>(v.gamma[c]) * inverse;
  write_value(v.inv_std, c, inverse);
  write_value(v.scale, c, slope);
  write_value(v.shift, c, static_cast<double>(v.beta[c]) - mean * slope);
  update_running(v.running_mean, c, mean, v.momentum);
  update_running(v.running_var, c, variance * v.unbiased, v.momentum);
}

unsigned vector_blocks(std::int64_t channels) {
  return static_cast<unsigned>(divide_up(channels, kThreads));
}

float* optional_data(InOut tensor) { return tensor ? tensor.as<float>() : nullptr; }

void finalize(In mean, In variance, In gamma, In beta, InOut running_mean, InOut running_var,
              InOut batches, Out scale, Out shift, Out inv_std, std::int64_t count, BatchNorm norm,
              Stream& stream) {
  const std::int64_t channels = mean.shape().c;
  const double unbiased =
      static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(1, count - 1));
  launch(finalize_vectors, vector_blocks(channels), kThreads, 0, stream,
         Vectors{.mean = mean.as<float>(),
                 .variance = variance.as<float>(),
                 .gamma = gamma.as<float>(),
                 .beta = beta.as<float>(),
                 .running_mean = optional_data(running_mean),
                 .running_var = optional_data(running_var),
                 .batches = batches ? batches.as<std::int64_t>() : nullptr,
                 .scale = target<float>(scale),
                 .shift = target<float>(shift),
                 .inv_std = target<float>(inv_std),
                 .channels = channels,
                 .unbiased = unbiased,
                 .eps = norm.eps,
                 .momentum = norm.momentum});
}

// Evaluation is training's last step with the running statistics in the batch's place.
void fold(In gamma, In beta, In running_mean, In running_var, Out scale, Out shift, BatchNorm norm,
          Stream& stream) {
  finalize(running_mean, running_var, gamma, beta, {}, {}, {}, scale, shift, {}, 1, norm, stream);
}

// A thread's values are all of one group of channels, whose factors it keeps.
template <class T, int W>
__global__ void __launch_bounds__(kThreads)
    apply_values(FixedChannels channels, const T* __restrict__ x, const float* __restrict__ scale,
                 const float* __restrict__ shift, const T* __restrict__ residual, T* __restrict__ y,
                 bool relu, bool add) {
  const Floats<W> a = load_floats<W>(scale + channels.group() * W);
  const Floats<W> b = load_floats<W>(shift + channels.group() * W);
#pragma unroll 2
  for (std::int64_t i = channels.first(); i < channels.count; i += channels.stride()) {
    Floats<W> z = load_floats<W>(x + i * W);
#pragma unroll
    for (int k = 0; k < W; ++k) z[k] = z[k] * a[k] + b[k];
    if (residual) {
      const Floats<W> r = load_floats<W>(residual + i * W);
#pragma unroll
      for (int k = 0; k < W; ++k) z[k] += r[k];
    }
#pragma unroll
    for (int k = 0; k < W; ++k) z[k] = relu && z[k] < 0 ? 0 : z[k];
    write_floats<W>(y + i * W, z, add);
  }
}

void apply(In x, In scale, In shift, In residual, Out y, Act act, Stream& stream) {
  with_type(common_type("batch_norm_apply", x, residual, y), [&]<class T>() {
    const T* const added = optional_data<T>(residual);
    const std::initializer_list<const void*> addresses{x.as<T>(), scale.as<float>(),
                                                       shift.as<float>(), added, y.as<T>()};
    with_width<T>(x.shape().c, addresses, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const FixedChannels channels = fixed_channels(x.shape(), W);
      launch(apply_values<T, W>, channels.blocks, kThreads, 0, stream, channels, x.as<T>(),
             scale.as<float>(), shift.as<float>(), added, y.as<T>(), act == Act::relu,
             y.write == Write::add);
    });
  });
}

}  // namespace

void merge_moments(unsigned rows, std::int64_t channels, const float* partial, Out mean,
                   Out variance, Stream& stream) {
  launch(moments_merge, merge_blocks(channels), kThreads, add_rows_bytes<double, 3>, stream, rows,
         channels, partial, target<float>(mean), target<float>(variance));
}

void fill_norm() {
  batch_norm_statistics.cuda = statistics;
  batch_norm_finalize.cuda = finalize;
  batch_norm_fold.cuda = fold;
  batch_norm_apply.cuda = apply;
}

}  // namespace fjord::cuda
