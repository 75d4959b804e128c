// Normalisation, activation and max-pool of a ResNet's first layer in one pass.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/tiles.h"
#include "kernels/cuda/vector.h"
#include "kernels/spatial.h"

namespace fjord::cuda {

namespace {

constexpr Pool2d kStemPool{.kernel = 3, .stride = 2, .padding = 1};

// A thread has one window of 3 x 3 and writes the normalised values of its lower right 2 x 2, which
// no other window has there. The pool compares them as they are stored, rounded.
template <class T, int W>
__global__ void __launch_bounds__(kThreads, 2)
    apply_and_pool_values(Tiles tiles, Extent from, const T* __restrict__ x,
                          const float* __restrict__ scale, const float* __restrict__ shift,
                          T* __restrict__ y, T* __restrict__ pooled, std::uint8_t* __restrict__ tap,
                          bool relu) {
  tiles.for_each(static_cast<int>(blockIdx.x), [&](int oy, int ox, int group) {
    const Extent to{tiles.h, tiles.w, from.c};
    const Plane<const T> image(x, from, group * W);
    const Plane<T> normalized(y, from, group * W);
    const Floats<W> a = load_floats<W>(scale + group * W), b = load_floats<W>(shift + group * W);
    Floats<W> best{};
    Pack<std::uint8_t, W> winner{};
    bool first = true;
#pragma unroll
    for (int ky = 0; ky < 3; ++ky)
#pragma unroll
      for (int kx = 0; kx < 3; ++kx) {
        const int iy = 2 * oy - 1 + ky, ix = 2 * ox - 1 + kx;
        if (iy < 0 || ix < 0) continue;
        const Floats<W> value = load_floats<W>(image.at(iy, ix));
        Floats<W> z;
#pragma unroll
        for (int k = 0; k < W; ++k) {
          z[k] = value[k] * a[k] + b[k];
          z[k] = to_float(from_float<T>(relu && z[k] < 0 ? 0 : z[k]));
          if (!first && !(z[k] > best[k]) && z[k] == z[k]) continue;
          best[k] = z[k];
          winner[k] = static_cast<std::uint8_t>(ky * 3 + kx);
        }
        first = false;
        if (ky > 0 && kx > 0) store_floats<W>(normalized.at(iy, ix), z);
      }
    store_floats<W>(Plane<T>(pooled, to, group * W).at(oy, ox), best);
    store(Plane<std::uint8_t>(tap, to, group * W).at(oy, ox), winner);
  });
}

bool is_stem(Shape x, Out y, Pool2d pool) {
  return pool.kernel == kStemPool.kernel && pool.stride == kStemPool.stride &&
         pool.padding == kStemPool.padding && x.h % 2 == 0 && x.w % 2 == 0 &&
         y.write == Write::store;
}

void apply_and_pool(In x, In scale, In shift, Out y, Out pooled, Out tap, Act act, Pool2d pool,
                    Stream& stream) {
  if (!is_stem(x.shape(), y, pool)) {
    batch_norm_apply.cuda(x, scale, shift, {}, y, act, stream);
    max_pool_forward.cuda({y.buffer}, pooled, tap, pool, stream);
    return;
  }
  with_type(common_type("batch_norm_apply_max_pool", x, y, pooled), [&]<class T>() {
    const std::initializer_list<const void*> addresses{x.as<T>(),         scale.as<float>(),
                                                       shift.as<float>(), y.as<T>(),
                                                       pooled.as<T>(),    tap.as<std::uint8_t>()};
    with_width<T>(x.shape().c, addresses, [&](auto width) {
      constexpr int W = decltype(width)::value;
      const Tiles t = tiles<T, W>(pooled.shape());
      launch(apply_and_pool_values<T, W>, t.grid(x.shape().n), kThreads, 0, stream, t,
             extent(x.shape()), x.as<T>(), scale.as<float>(), shift.as<float>(), y.as<T>(),
             pooled.as<T>(), tap.as<std::uint8_t>(), act == Act::relu);
    });
  });
}

}  // namespace

void fill_stem() { batch_norm_apply_max_pool.cuda = apply_and_pool; }

}  // namespace fjord::cuda
