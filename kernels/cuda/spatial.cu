// Pooling and resampling: every value is written by one thread, which gathers what it is made of.
#include "kernels/spatial.h"

#include <numeric>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/tiles.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

// The window of a pooling; K and S are its kernel and stride where the compiler knows them, else 0.
template <int K, int S>
struct Window {
  Pool2d pool;

  __device__ int kernel() const { return K ? K : pool.kernel; }
  __device__ int stride() const { return S ? S : pool.stride; }
};

/// body(Window<K, S>): the pooling of ResNets at compile time, others at run time.
template <class Body>
void with_window(Pool2d pool, const Body& body) {
  if (pool.kernel == 3 && pool.stride == 2)
    body(Window<3, 2>{pool});
  else
    body(Window<0, 0>{pool});
}

template <class T, int W, class Window>
__global__ void __launch_bounds__(kThreads, 4)
    pool_values(Tiles tiles, Window window, Extent from, Extent to, const T* __restrict__ x,
                T* __restrict__ y, std::uint8_t* __restrict__ tap) {
  tiles.for_each(static_cast<int>(blockIdx.x), [&](int oy, int ox, int group) {
    const Plane<const T> image(x, from, group * W);
    Floats<W> best{};
    Pack<std::uint8_t, W> winner{};
    bool first = true;
#pragma unroll
    for (int ky = 0; ky < window.kernel(); ++ky) {
      const int iy = oy * window.stride() - window.pool.padding + ky;
#pragma unroll
      for (int kx = 0; kx < window.kernel(); ++kx) {
        const int ix = ox * window.stride() - window.pool.padding + kx;
        if (iy < 0 || iy >= from.h || ix < 0 || ix >= from.w) continue;
        const Floats<W> value = load_floats<W>(image.at(iy, ix));
#pragma unroll
        for (int k = 0; k < W; ++k) {
          // A NaN wins, as in PyTorch.
          if (!first && !(value[k] > best[k]) && value[k] == value[k]) continue;
          best[k] = value[k];
          winner[k] = static_cast<std::uint8_t>(ky * window.kernel() + kx);
        }
        first = false;
      }
    }
    store_floats<W>(Plane<T>(y, to, group * W).at(oy, ox), best);
    store(Plane<std::uint8_t>(tap, to, group * W).at(oy, ox), winner);
  });
}

// Each input sums the windows that it won.
template <class T, int W, class Window>
__global__ void __launch_bounds__(kThreads, 4)
    pool_gradients(Tiles tiles, Window window, Extent from, Extent to, const T* __restrict__ dy,
                   const std::uint8_t* __restrict__ tap, Target<T> dx) {
  tiles.for_each(static_cast<int>(blockIdx.x), [&](int iy, int ix, int group) {
    const Plane<const T> gradients(dy, from, group * W);
    const Plane<const std::uint8_t> taps(tap, from, group * W);
    Floats<W> sum{};
    // The window at o covers o * stride - padding + [0, kernel).
    const int down = iy + window.pool.padding, across = ix + window.pool.padding;
    const int bottom = min(down / window.stride(), from.h - 1);
    const int right = min(across / window.stride(), from.w - 1);
    for (int oy = bottom; oy >= 0 && down - oy * window.stride() < window.kernel(); --oy)
      for (int ox = right; ox >= 0 && across - ox * window.stride() < window.kernel(); --ox) {
        const int position =
            (down - oy * window.stride()) * window.kernel() + across - ox * window.stride();
        const Floats<W> value = load_floats<W>(gradients.at(oy, ox));
        const Pack<std::uint8_t, W> winner = load_pack<W>(taps.at(oy, ox));
#pragma unroll
        for (int k = 0; k < W; ++k)
          if (winner[k] == position) sum[k] += value[k];
      }
    write_floats<W>(Plane<T>(dx.data, to, group * W).at(iy, ix), sum, dx.add);
  });
}

void pool_forward(In x, Out y, Out tap, Pool2d pool, Stream& stream) {
  with_type(common_type("max_pool_forward", x, y), [&]<class T>() {
    auto* const taps = tap.as<std::uint8_t>();
    with_width<T>(x.shape().c, {x.as<T>(), y.as<T>(), taps}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const Tiles t = tiles<T, W>(y.shape());
      with_window(pool, [&](auto window) {
        launch(pool_values<T, W, decltype(window)>, t.grid(y.shape().n), kThreads, 0, stream, t,
               window, extent(x.shape()), extent(y.shape()), x.as<T>(), y.as<T>(), taps);
      });
    });
  });
}

void pool_backward(In dy, In tap, Out dx, Pool2d pool, Stream& stream) {
  with_type(common_type("max_pool_backward", dy, dx), [&]<class T>() {
    const auto* const taps = tap.as<std::uint8_t>();
    with_width<T>(dx.shape().c, {dy.as<T>(), taps, dx.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const Tiles t = tiles<T, W>(dx.shape());
      with_window(pool, [&](auto window) {
        launch(pool_gradients<T, W, decltype(window)>, t.grid(dx.shape().n), kThreads, 0, stream, t,
               window, extent(dy.shape()), extent(dx.shape()), dy.as<T>(), taps, target<T>(dx));
      });
    });
  });
}

// Nearest neighbour along one axis, with PyTorch's float arithmetic.
struct Nearest {
  int in = 1, out = 1;
  float ratio = 1, inverse = 1;  // in / out, out / in
  int factor = 0;                // a power of two that `out` is times `in`, else 0

  __device__ int source(int o) const {
    return min(static_cast<int>(static_cast<float>(o) * ratio), in - 1);
  }
  /// The first output whose source is i or later: those of i are [first(i), first(i + 1)).
  __device__ int first(int i) const {
    if (factor) return i * factor;
    // Two before where it should be, for the rounding of both ratios.
    int o = max(0, static_cast<int>(static_cast<float>(i) * inverse) - 2);
    while (o < out && source(o) < i) ++o;
    return o;
  }
};

Nearest nearest(std::int64_t in, std::int64_t out) {
  const std::int64_t factor = out / in;
  const bool exact = out % in == 0 && (factor & (factor - 1)) == 0;
  return {.in = static_cast<int>(in),
          .out = static_cast<int>(out),
          .ratio = static_cast<float>(in) / static_cast<float>(out),
          .inverse = static_cast<float>(out) / static_cast<float>(in),
          .factor = exact ? static_cast<int>(factor) : 0};
}

/// Both parts of a concatenation: blocks of low's tiles come first, then those of skip's. A part
/// without tiles is not touched.
struct Concat {
  Tiles low_tiles, skip_tiles;
  Extent low, skip, both;
  Nearest rows, columns;

  unsigned blocks() const { return static_cast<unsigned>(low_tiles.count() + skip_tiles.count()); }
};

// Each value of low is read once and written to all its places.
template <class T, int W>
__global__ void __launch_bounds__(kThreads, 4)
    concat_values(Concat c, int low_blocks, const T* __restrict__ low, const T* __restrict__ skip,
                  T* __restrict__ y, bool add) {
  const int block = static_cast<int>(blockIdx.x);
  if (block < low_blocks) {
    c.low_tiles.for_each(block, [&](int iy, int ix, int group) {
      const Plane<const T> from(low, c.low, group * W);
      const Plane<T> to(y, c.both, group * W);
      const Floats<W> value = load_floats<W>(from.at(iy, ix));
      const int bottom = c.rows.first(iy + 1), right = c.columns.first(ix + 1);
      const int left = c.columns.first(ix);
#pragma unroll 1
      for (int oy = c.rows.first(iy); oy < bottom; ++oy)
#pragma unroll 2
        for (int ox = left; ox < right; ++ox) write_floats<W>(to.at(oy, ox), value, add);
    });
  } else {
    c.skip_tiles.for_each(block - low_blocks, [&](int oy, int ox, int group) {
      const Plane<const T> from(skip, c.skip, group * W);
      const Plane<T> to(y, c.both, c.low.c + group * W);
      write_floats<W>(to.at(oy, ox), load_floats<W>(from.at(oy, ox)), add);
    });
  }
}

// Each gradient of low sums those of its places.
template <class T, int W>
__global__ void __launch_bounds__(kThreads, 4)
    concat_gradients(Concat c, int low_blocks, const T* __restrict__ dy, Target<T> dlow,
                     Target<T> dskip) {
  const int block = static_cast<int>(blockIdx.x);
  if (block < low_blocks) {
    c.low_tiles.for_each(block, [&](int iy, int ix, int group) {
      const Plane<const T> from(dy, c.both, group * W);
      Floats<W> sum{};
      const int bottom = c.rows.first(iy + 1), right = c.columns.first(ix + 1);
      const int left = c.columns.first(ix);
#pragma unroll 1
      for (int oy = c.rows.first(iy); oy < bottom; ++oy)
#pragma unroll 2
        for (int ox = left; ox < right; ++ox) {
          const Floats<W> value = load_floats<W>(from.at(oy, ox));
#pragma unroll
          for (int k = 0; k < W; ++k) sum[k] += value[k];
        }
      write_floats<W>(Plane<T>(dlow.data, c.low, group * W).at(iy, ix), sum, dlow.add);
    });
  } else {
    c.skip_tiles.for_each(block - low_blocks, [&](int oy, int ox, int group) {
      const Plane<const T> from(dy, c.both, c.low.c + group * W);
      write_floats<W>(Plane<T>(dskip.data, c.skip, group * W).at(oy, ox),
                      load_floats<W>(from.at(oy, ox)), dskip.add);
    });
  }
}

template <class T, int W>
Concat concat_of(Shape low, Shape skip, Shape both, bool with_low, bool with_skip) {
  Concat c;
  c.low = extent(low);
  c.skip = extent(skip);
  c.both = extent(both);
  if (with_low) {
    c.low_tiles = tiles<T, W>(low);
    c.rows = nearest(low.h, both.h);
    c.columns = nearest(low.w, both.w);
  }
  if (with_skip) c.skip_tiles = tiles<T, W>(skip);
  return c;
}

dim3 grid_of(const Concat& c, std::int64_t images) {
  return {c.blocks(), static_cast<unsigned>(std::max(c.low_tiles.chunks(), c.skip_tiles.chunks())),
          static_cast<unsigned>(images)};
}

void concat_forward(In low, In skip, Out y, Stream& stream) {
  const Shape from = low.shape(), to = y.shape(), beside{to.n, to.h, to.w, to.c - from.c};
  with_type(common_type("upsample_concat_forward", low, skip, y), [&]<class T>() {
    const T *lows = low.as<T>(), *skips = optional_data<T>(skip);
    // Every pack is of one of both parts only where their channels are whole packs.
    const std::int64_t channels = std::gcd(from.c, beside.c);
    with_width<T>(channels, {lows, skips, y.as<T>()}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const Concat c = concat_of<T, W>(from, beside, to, true, skips != nullptr);
      launch(concat_values<T, W>, grid_of(c, from.n), kThreads, 0, stream, c, c.low_tiles.count(),
             lows, skips, y.as<T>(), y.write == Write::add);
    });
  });
}

void concat_backward(In dy, Out dlow, Out dskip, Stream& stream) {
  if (!dlow && !dskip) return;
  if (dlow && dskip && dlow.as<void>() == dskip.as<void>()) {  // one tensor that is both sources
    concat_backward(dy, dlow, {}, stream);
    concat_backward(dy, {}, dskip, stream);
    return;
  }
  const Shape from = dy.shape();
  const std::int64_t low_channels = dlow ? dlow.shape().c : from.c - dskip.shape().c;
  const Shape low = dlow ? dlow.shape() : Shape{from.n, 1, 1, low_channels};
  const Shape beside{from.n, from.h, from.w, from.c - low_channels};
  with_type(common_type("upsample_concat_backward", dy, dlow, dskip), [&]<class T>() {
    const Target<T> lows = target<T>(dlow), skips = target<T>(dskip);
    const std::int64_t channels = std::gcd(low.c, beside.c);
    with_width<T>(channels, {dy.as<T>(), lows.data, skips.data}, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const Concat c = concat_of<T, W>(low, beside, from, lows.data, skips.data);
      launch(concat_gradients<T, W>, grid_of(c, from.n), kThreads, 0, stream, c,
             c.low_tiles.count(), dy.as<T>(), lows, skips);
    });
  });
}

}  // namespace

void fill_spatial() {
  max_pool_forward.cuda = pool_forward;
  max_pool_backward.cuda = pool_backward;
  upsample_concat_forward.cuda = concat_forward;
  upsample_concat_backward.cuda = concat_backward;
}

}  // namespace fjord::cuda
