// Weight layouts, and the passes around convolutions that a library does not fuse.
#include "kernels/cuda/layout.h"

#include "kernels/cuda/channels.h"

namespace fjord::cuda {

namespace {

template <int W, class From, class To>
__global__ void convert_kernel(const From* x, To* y, std::int64_t groups, bool add) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; i < groups; i += stride)
    write_floats<W>(y + i * W, load_floats<W>(x + i * W), add);
}

template <class From, class To>
void convert_values(Typed x, TypedOut y, std::int64_t count, Stream& stream) {
  with_width<From>(count, {x.data, y.data}, [&]<int W>(Number<W>) {
    launch(convert_kernel<W, From, To>, blocks_for(count / W), kThreads, 0, stream, x.data, y.data,
           count / W, y.write == Write::add);
  });
}

template <int W, class T>
__global__ void __launch_bounds__(kThreads)
    end_values(const float* bias, const T* residual, T* y, FixedChannels channels, bool relu) {
  if (channels.first() >= channels.count) return;
  Floats<W> own{};
  if (bias) own = load_floats<W>(bias + channels.group() * W);
  for (std::int64_t i = channels.first(); i < channels.count; i += channels.stride()) {
    Floats<W> value = load_floats<W>(y + i * W), added{};
    if (residual) added = load_floats<W>(residual + i * W);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      value[k] += own[k] + added[k];
      value[k] = relu && value[k] < 0 ? 0 : value[k];  // a NaN stays a NaN
    }
    store_floats<W>(y + i * W, value);
  }
}

// One row of partial sums a block; see ChannelBlocks.
template <int W, class T>
__global__ void channel_partials(const T* x, float* partial, ChannelBlocks blocks) {
  float sums[W] = {};
  if (blocks.active())
    for (std::int64_t p = blocks.begin() + blocks.row(); p < blocks.end(); p += blocks.rows) {
      const Floats<W> values = load_floats<W>(x + (p * blocks.groups + blocks.group()) * W);
#pragma unroll
      for (int k = 0; k < W; ++k) sums[k] += values[k];
    }
  add_rows<float, W>(sums, blocks.lanes, blocks.rows, dynamic_shared<float>());
  if (!blocks.active() || blocks.row() != 0) return;
  float* row = partial + (std::int64_t{blockIdx.x} * blocks.groups + blocks.group()) * W;
#pragma unroll
  for (int k = 0; k < W; ++k) row[k] = sums[k];
}

__global__ void merge_partials(const float* partial, float* sums, std::int64_t channels,
                               std::int64_t rows, bool add) {
  const int lane = static_cast<int>(threadIdx.x) % kMergeLanes;
  const int row = static_cast<int>(threadIdx.x) / kMergeLanes;
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeLanes + lane;
  double own[1] = {};
  for (std::int64_t i = row; i < rows && c < channels; i += kThreads / kMergeLanes)
    own[0] += partial[i * channels + c];
  add_rows<double, 1>(own, kMergeLanes, kThreads / kMergeLanes, dynamic_shared<double>());
  if (row == 0 && c < channels)
    sums[c] = static_cast<float>((add ? static_cast<double>(sums[c]) : 0.0) + own[0]);
}

/// Values of a filter's 3x3 window in shared memory, one plane a tap; a row more than 32 wide, so
/// that both ways of walking through it meet 32 different banks.
constexpr int kTile = 32, kTaps = 9, kPitch = kTile + 1;
constexpr std::size_t kTileBytes = kTaps * kTile * kPitch * sizeof(float);

__device__ int tile_at(int tap, int output, int channel) {
  return (tap * kTile + output) * kPitch + channel;
}

/// Tap t of the transposed 4x4 filter gathers taps first(t)..last(t) of the 3x3 one, on each axis:
/// [w2, w1 + w2, w0 + w1, w0].
__device__ int first_tap(int t) { return t < 2 ? 2 - t : 0; }
__device__ int last_tap(int t) { return t < 1 ? 2 : 3 - t; }

// Block (x, y): 32 outputs by 32 channels, all taps. weight: k x 9 x pitch; low: c x 16 x k.
template <class From, class T>
__global__ void split_low(const From* weight, const float* scale, T* low, int outputs, int channels,
                          int pitch) {
  float* tile = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % kTile,
            row = static_cast<int>(threadIdx.x) / kTile;
  constexpr int rows = kThreads / kTile;
  const int k0 = static_cast<int>(blockIdx.x) * kTile, c0 = static_cast<int>(blockIdx.y) * kTile;
  for (int i = row; i < kTile * kTaps; i += rows) {
    const int k = k0 + i / kTaps, tap = i % kTaps, c = c0 + lane;
    const bool inside = k < outputs && c < channels;
    const std::int64_t at = (std::int64_t{k} * kTaps + tap) * pitch + c;
    tile[tile_at(tap, i / kTaps, lane)] = inside ? to_float(weight[at]) : 0.0f;
  }
  const int own = k0 + lane;
  const float factor = scale && own < outputs ? scale[own] : 1.0f;
  __syncthreads();
  for (int i = row; i < kTile * 16; i += rows) {
    const int c = c0 + i / 16, t = i % 16 / 4, s = i % 4;
    if (own >= outputs || c >= channels) continue;
    float sum = 0;
    for (int r = first_tap(t); r <= last_tap(t); ++r)
      for (int q = first_tap(s); q <= last_tap(s); ++q)
        sum += tile[tile_at(r * 3 + q, lane, i / 16)];
    low[(std::int64_t{c} * 16 + t * 4 + s) * outputs + own] = from_float<T>(sum * factor);
  }
}

// The transpose: tap r of the 3x3 filter went into taps 2 - r and 3 - r of the 4x4 one.
template <class T>
__global__ void join_low(const T* low, float* dweight, int outputs, int channels, int pitch,
                         bool add) {
  float* tile = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x) % kTile,
            row = static_cast<int>(threadIdx.x) / kTile;
  constexpr int rows = kThreads / kTile;
  const int k0 = static_cast<int>(blockIdx.x) * kTile, c0 = static_cast<int>(blockIdx.y) * kTile;
  for (int i = row; i < kTile; i += rows) {
    const int c = c0 + i, k = k0 + lane;
    if (k >= outputs || c >= channels) continue;
    float taps[16];
#pragma unroll
    for (int t = 0; t < 16; ++t) taps[t] = to_float(low[(std::int64_t{c} * 16 + t) * outputs + k]);
#pragma unroll
    for (int r = 0; r < 3; ++r)
#pragma unroll
      for (int q = 0; q < 3; ++q) {
        const int at = (2 - r) * 4 + 2 - q;
        tile[tile_at(r * 3 + q, lane, i)] = taps[at] + taps[at + 1] + taps[at + 4] + taps[at + 5];
      }
  }
  __syncthreads();
  for (int i = row; i < kTile * kTaps; i += rows) {
    const int k = k0 + i / kTaps, tap = i % kTaps, c = c0 + lane;
    if (k >= outputs || c >= channels) continue;
    float& target = dweight[(std::int64_t{k} * kTaps + tap) * pitch + c];
    const float value = tile[tile_at(tap, i / kTaps, lane)];
    target = add ? target + value : value;
  }
}

// Rows of `width` groups of W values, out of or into rows that are further apart.
template <int W, class From, class To>
__global__ void copy_rows(const From* x, To* y, std::int64_t count, std::int64_t width,
                          std::int64_t x_pitch, std::int64_t y_pitch, bool add) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; i < count; i += stride) {
    const std::int64_t row = i / width, at = i % width * W;
    write_floats<W>(y + row * y_pitch + at, load_floats<W>(x + row * x_pitch + at), add);
  }
}

// The same, each row times the scale of its output; an output has `rows` of them.
template <int W, class To>
__global__ void __launch_bounds__(kThreads)
    scaled_rows(const float* x, const float* scale, To* y, std::int64_t count, std::int64_t width,
                std::int64_t pitch, std::int64_t rows) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; i < count; i += stride) {
    const std::int64_t row = i / width;
    Floats<W> values = load_floats<W>(x + row * pitch + i % width * W);
    const float factor = scale ? scale[row / rows] : 1.0f;
#pragma unroll
    for (int k = 0; k < W; ++k) values[k] *= factor;
    store_floats<W>(y + i * W, values);
  }
}

template <class T>
void scale_rows(const float* x, const float* scale, T* y, std::int64_t rows, std::int64_t width,
                std::int64_t pitch, std::int64_t rows_of_output, Stream& stream) {
  with_width<T>(std::gcd(width, pitch), {x, y}, [&]<int W>(Number<W>) {
    const std::int64_t count = rows * width / W;
    launch(scaled_rows<W, T>, blocks_for(count), kThreads, 0, stream, x, scale, y, count, width / W,
           pitch, rows_of_output);
  });
}

dim3 tiles_of(const FilterParts& parts) {
  return {static_cast<unsigned>(divide_up(parts.outputs, kTile)),
          static_cast<unsigned>(divide_up(parts.low, kTile))};
}

}  // namespace

void convert(Typed x, TypedOut y, std::int64_t count, Stream& stream) {
  with_type(x.dtype, [&]<class T>() {
    if (y.dtype == x.dtype)
      convert_values<T, T>(x, y, count, stream);
    else if (y.dtype == DType::f32)
      convert_values<T, float>(x, y, count, stream);
    else
      throw Error(ExitCode::bug, "dtype", "convert", "it writes f32 or its own type",
                  "use --device cpu");
  });
}

void end_conv(const ConvEnd& end, TypedOut y, Shape shape, Stream& stream) {
  with_type(y.dtype, [&]<class T>() {
    with_width<T>(shape.c, {end.bias, end.residual, y.data}, [&]<int W>(Number<W>) {
      const FixedChannels channels = fixed_channels(shape, W);
      launch(end_values<W, T>, channels.blocks, kThreads, 0, stream, end.bias, end.residual, y.data,
             channels, end.relu);
    });
  });
}

void fold_filter(In weight, In scale, TypedOut y, Stream& stream) {
  const std::int64_t outputs = weight.shape().n, width = weight.shape().count() / outputs;
  with_type(y.dtype, [&]<class T>() {
    scale_rows(weight.as<float>(), optional_data<float>(scale), static_cast<T*>(y.data), outputs,
               width, width, 1, stream);
  });
}

void channel_sums(Typed x, Shape shape, Out sums, Stream& stream) {
  with_type(x.dtype, [&]<class T>() {
    with_width<T>(shape.c, {x.data}, [&]<int W>(Number<W>) {
      const ChannelBlocks blocks = channel_blocks<T, W>(shape);
      float* partial = partial_rows(blocks, shape.c, 1, stream);
      launch(channel_partials<W, T>, blocks.grid(), kThreads, add_rows_bytes<float, W>, stream,
             x.data, partial, blocks);
      launch(merge_partials, merge_blocks(shape.c), kThreads, add_rows_bytes<double, 1>, stream,
             partial, sums.as<float>(), shape.c, blocks.along_pixels(), sums.write == Write::add);
    });
  });
}

void split_filter(Typed weight, FilterParts parts, void* low, void* skip, Stream& stream) {
  const std::int64_t pitch = parts.low + parts.skip, rows = kTaps * parts.outputs;
  with_type(weight.dtype, [&]<class T>() {
    const T* from = static_cast<const T*>(weight.data);
    if (low)
      launch(split_low<T, T>, tiles_of(parts), kThreads, kTileBytes, stream, from, nullptr, low,
             parts.outputs, parts.low, pitch);
    if (!skip || parts.skip == 0) return;
    with_width<T>(std::gcd(parts.low, parts.skip), {from, skip}, [&]<int W>(Number<W>) {
      const std::int64_t width = parts.skip / W;
      launch(copy_rows<W, T, T>, blocks_for(rows * width), kThreads, 0, stream, from + parts.low,
             skip, rows * width, width, pitch, parts.skip, false);
    });
  });
}

void fold_split_filter(In weight, In scale, FilterParts parts, DType to, void* low, void* skip,
                       Stream& stream) {
  const std::int64_t pitch = parts.low + parts.skip;
  const float *from = weight.as<float>(), *factors = optional_data<float>(scale);
  with_type(to, [&]<class T>() {
    launch(split_low<float, T>, tiles_of(parts), kThreads, kTileBytes, stream, from, factors, low,
           parts.outputs, parts.low, pitch);
    if (parts.skip > 0)
      scale_rows(from + parts.low, factors, static_cast<T*>(skip), kTaps * parts.outputs,
                 parts.skip, pitch, kTaps, stream);
  });
}

void join_filter(Typed low, Typed skip, FilterParts parts, Out dweight, Stream& stream) {
  const std::int64_t pitch = parts.low + parts.skip, rows = kTaps * parts.outputs;
  const bool add = dweight.write == Write::add;
  float* to = dweight.as<float>();
  with_type(low.dtype, [&]<class T>() {
    launch(join_low<T>, tiles_of(parts), kThreads, kTileBytes, stream, low.data, to, parts.outputs,
           parts.low, pitch, add);
    if (!skip.data) return;
    with_width<T>(std::gcd(parts.low, parts.skip), {skip.data, to}, [&]<int W>(Number<W>) {
      const std::int64_t width = parts.skip / W;
      launch(copy_rows<W, T, float>, blocks_for(rows * width), kThreads, 0, stream, skip.data,
             to + parts.low, rows * width, width, parts.skip, pitch, add);
    });
  });
}

}  // namespace fjord::cuda
