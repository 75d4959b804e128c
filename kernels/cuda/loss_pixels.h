// Logits of class maps in registers: a pixel lies in `lanes` neighbouring threads of a warp, which
// hold up to 8 of its values each.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

/// Values of a pixel in one thread.
constexpr int kHeld = 8;

/// How a block of kThreads shares out its pixels.
struct PixelLayout {
  int classes = 1;
  int lanes = 1;   // threads a pixel, a power of two
  int stride = 1;  // floats from a pixel to the next in shared memory

  /// Pixels of a block at a time.
  __host__ __device__ int rows() const { return kThreads / lanes; }
  __host__ __device__ int floats() const { return rows() * stride; }
  __host__ __device__ std::int64_t tiles(std::int64_t pixels) const {
    return (pixels + rows() - 1) / rows();
  }
  __device__ int row() const { return static_cast<int>(threadIdx.x) / lanes; }
  __device__ int lane() const { return static_cast<int>(threadIdx.x) % lanes; }
};

inline PixelLayout pixel_layout(std::int64_t classes) {
  PixelLayout layout;
  layout.classes = static_cast<int>(classes);
  while (layout.lanes * kHeld < layout.classes) layout.lanes *= 2;
  // An odd multiple of `lanes`: the threads of a warp then meet each bank of shared memory once.
  const int parts = (layout.classes + layout.lanes - 1) / layout.lanes;
  layout.stride = layout.lanes * (parts | 1);
  return layout;
}

/// Where the values come from. `direct`: accesses of 4 values, when 4 divides the classes. Else
/// through shared memory, so that global memory is read in whole words side by side.
template <bool direct>
struct HeldClass {
  /// The class of the j-th held value.
  __device__ static int of(const PixelLayout& layout, int j) {
    const int lane = layout.lane();
    return direct ? 4 * (lane + layout.lanes * (j / 4)) + j % 4 : lane + layout.lanes * j;
  }
};

/// body(global index, shared index) for the values of `count` pixels, in words of 4 bytes of T;
/// `width` is how many of the word's values there are.
template <class T, class Body>
__device__ void each_word(int count, const PixelLayout& layout, const Body& body) {
  constexpr int width = 4 / static_cast<int>(sizeof(T));
  const int classes = layout.classes, values = count * classes, step = kThreads * width;
  const int rows = step / classes, columns = step % classes;
  int row = static_cast<int>(threadIdx.x) * width / classes;
  int column = static_cast<int>(threadIdx.x) * width % classes;
  for (int i = static_cast<int>(threadIdx.x) * width; i < values; i += step) {
    const bool wraps = column + 1 == classes;
    const int place = row * layout.stride + column;
    const int second = wraps ? (row + 1) * layout.stride : place + 1;
    body(i, place, second, i + width <= values);
    row += rows;
    column += columns;
    if (column >= classes) {
      column -= classes;
      ++row;
    }
  }
}

/// Copies `count` pixels to shared memory as floats. Barriers before and after are the caller's.
template <class T>
__device__ void stage_pixels(const T* from, int count, const PixelLayout& layout, float* tile) {
  constexpr int width = 4 / static_cast<int>(sizeof(T));
  each_word<T>(count, layout, [&](int i, int first, int second, bool whole) {
    if (whole) {
      const auto word = load_pack<width>(from + i);
      tile[first] = to_float(word[0]);
      if constexpr (width > 1) tile[second] = to_float(word[1]);
    } else {
      tile[first] = to_float(from[i]);
    }
  });
}

/// Copies them back, or adds them to what is there.
template <class T>
__device__ void unstage_pixels(const float* tile, int count, const PixelLayout& layout, T* to,
                               bool add) {
  constexpr int width = 4 / static_cast<int>(sizeof(T));
  each_word<T>(count, layout, [&](int i, int first, int second, bool whole) {
    if (whole) {
      Floats<width> values;
      values[0] = tile[first];
      if constexpr (width > 1) values[1] = tile[second];
      write_floats<width>(to + i, values, add);
    } else {
      Floats<1> value;
      value[0] = tile[first];
      write_floats<1>(to + i, value, add);
    }
  });
}

/// This thread's values of its pixel, `fill` where there are none. Every thread of the block calls
/// it, with `count` pixels from `from` on; `tile` has layout.floats().
template <bool direct, class T>
__device__ void hold_pixels(const T* from, int count, const PixelLayout& layout, float* tile,
                            float fill, float (&held)[kHeld]) {
  const bool inside = layout.row() < count;
  if constexpr (!direct) {
    __syncthreads();
    stage_pixels(from, count, layout, tile);
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < kHeld; j += direct ? 4 : 1) {
    const int c = HeldClass<direct>::of(layout, j);
    const bool there = inside && c < layout.classes;
    if constexpr (direct) {
      Floats<4> values{fill, fill, fill, fill};
      if (there) values = load_floats<4>(from + layout.row() * layout.classes + c);
#pragma unroll
      for (int k = 0; k < 4; ++k) held[j + k] = values[k];
    } else {
      held[j] = there ? tile[layout.row() * layout.stride + c] : fill;
    }
  }
}

/// The other way: writes or adds this thread's values.
template <bool direct, class T>
__device__ void release_pixels(const float (&held)[kHeld], int count, const PixelLayout& layout,
                               float* tile, T* to, bool add) {
  const bool inside = layout.row() < count;
  if constexpr (!direct) __syncthreads();
#pragma unroll
  for (int j = 0; j < kHeld; j += direct ? 4 : 1) {
    const int c = HeldClass<direct>::of(layout, j);
    if (!inside || c >= layout.classes) continue;
    if constexpr (direct) {
      write_floats<4>(to + layout.row() * layout.classes + c,
                      Floats<4>{held[j], held[j + 1], held[j + 2], held[j + 3]}, add);
    } else {
      tile[layout.row() * layout.stride + c] = held[j];
    }
  }
  if constexpr (!direct) {
    __syncthreads();
    unstage_pixels(tile, count, layout, to, add);
  }
}

/// Over the threads of a pixel; all of them get the result.
__device__ inline float pixel_sum(float x, int lanes) {
  for (int m = lanes / 2; m > 0; m /= 2) x += __shfl_xor_sync(0xffffffffu, x, m);
  return x;
}
__device__ inline float pixel_max(float x, int lanes) {
  for (int m = lanes / 2; m > 0; m /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, m));
  return x;
}

/// A pixel's softmax: z becomes z less the largest, `p` the probabilities (0 where there is no
/// class); returns log(sum(exp(z))) of the new z. `z` holds -infinity where there is no class.
__device__ inline float pixel_softmax(float (&z)[kHeld], float (&p)[kHeld], int lanes) {
  float largest = z[0];
#pragma unroll
  for (int j = 1; j < kHeld; ++j) largest = fmaxf(largest, z[j]);
  largest = pixel_max(largest, lanes);
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    z[j] -= largest;
    p[j] = expf(z[j]);
    sum += p[j];
  }
  sum = pixel_sum(sum, lanes);
  const float inverse = 1 / sum;
#pragma unroll
  for (int j = 0; j < kHeld; ++j) p[j] *= inverse;
  return logf(sum);
}

/// The sum of one double a thread, in thread 0: threads in a fixed tree. `shared` has a double a
/// warp. Every thread of the block calls it.
__device__ inline double block_sum(double x, double* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int m = 16; m > 0; m /= 2) x += __shfl_xor_sync(0xffffffffu, x, m);
  __syncthreads();
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) sum += shared[w];
  return sum;
}

}  // namespace fjord::cuda
