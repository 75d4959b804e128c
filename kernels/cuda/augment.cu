// Augmentation on the device: a gather by the samples' fixed-point maps, colour, normalisation.
//
// It and the CPU's twin are compiled without contraction to fused multiply-adds (see the
// CMakeLists.txt of both): f32 outputs are equal to the bit, colours included.
#include "kernels/augment.h"

#include <algorithm>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/vector.h"

namespace fjord::cuda {

namespace {

/// Output of a block: at most this, collected in shared memory and then stored in 16-byte accesses.
constexpr std::int64_t kTileBytes = 16384, kTilePixels = 1024;

/// Pixels of a tile; a multiple of 16, so that tiles begin at 16 bytes when their image does.
std::int64_t tile_pixels(std::int64_t pixel_bytes) {
  return std::clamp<std::int64_t>(kTileBytes / pixel_bytes / 16 * 16, 16, kTilePixels);
}

struct Extent {
  std::int32_t height, width, channels;
};

Extent extent_of(Shape s) {
  return {static_cast<std::int32_t>(s.h), static_cast<std::int32_t>(s.w),
          static_cast<std::int32_t>(s.c)};
}

/// Part of one output image: blockIdx.x counts tiles, blockIdx.y images.
struct Tile {
  std::int64_t first, image_pixels;
  int pixels;
};

__device__ Tile tile_of_block(Extent out, int pixels) {
  const std::int64_t all = static_cast<std::int64_t>(out.height) * out.width;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * pixels, rest = all - first;
  return {first, all, rest < pixels ? static_cast<int>(rest) : pixels};
}

/// Where output pixel `pixel` of a tile comes from, in units of 2^-32 pixel.
struct Position {
  std::int64_t x, y;
};

__device__ Position position_of(const PixelMap& map, const Tile& tile, int pixel, int width) {
  const auto index = static_cast<unsigned>(tile.first) + static_cast<unsigned>(pixel);
  const std::int64_t row = index / static_cast<unsigned>(width);
  const std::int64_t column = index % static_cast<unsigned>(width);
  return {map.xx * column + map.xy * row + map.x0, map.yx * column + map.yy * row + map.y0};
}

/// One image of the batch.
template <class S>
struct Source {
  const S* pixels;
  Extent extent;

  /// Null outside.
  __device__ const S* at(std::int64_t x, std::int64_t y) const {
    const bool inside = x >= 0 && x < extent.width && y >= 0 && y < extent.height;
    return inside ? pixels + (y * extent.width + x) * extent.channels : nullptr;
  }
};

template <class S>
__device__ Source<S> source_of_block(const S* x, Extent in) {
  const std::int64_t values = static_cast<std::int64_t>(in.height) * in.width * in.channels;
  return {x + blockIdx.y * values, in};
}

/// The four pixels around a position; what lies outside is 0.
template <class S>
struct Corners {
  const S *a = nullptr, *b = nullptr, *c = nullptr, *d = nullptr;
  float fx = 0, fy = 0;
  bool inside = false;  // one of them is

  __device__ Corners(const Source<S>& source, Position at) {
    using augment::kOne;
    inside = at.x > -kOne && at.x < source.extent.width * kOne && at.y > -kOne &&
             at.y < source.extent.height * kOne;
    if (!inside) return;
    const augment::Taps taps = augment::taps_at(at.x, at.y);
    fx = taps.fx, fy = taps.fy;
    a = source.at(taps.x, taps.y);
    if (whole()) return;
    b = source.at(taps.x + 1, taps.y);
    c = source.at(taps.x, taps.y + 1);
    d = source.at(taps.x + 1, taps.y + 1);
  }

  __device__ bool whole() const { return fx == 0 && fy == 0; }
  __device__ float operator[](int channel) const {
    const auto value = [&](const S* pixel) {
      return pixel ? static_cast<float>(pixel[channel]) : 0.0f;
    };
    // What is not finite in a neighbour without weight stays out.
    if (whole()) return value(a);
    return augment::bilinear(value(a), value(b), value(c), value(d), fx, fy);
  }
};

/// Shared memory to global memory, 16 bytes at a time where the tile begins at 16 bytes.
template <class T>
__device__ void store_tile(const T* tile, T* y, int count) {
  constexpr int width = Pack<T>::size;
  __syncthreads();
  const int whole = reinterpret_cast<std::uintptr_t>(y) % 16 == 0 ? count / width * width : 0;
  for (int i = threadIdx.x * width; i < whole; i += kThreads * width) store(y + i, load(tile + i));
  for (int i = whole + threadIdx.x; i < count; i += kThreads) y[i] = tile[i];
}

struct Normalization {
  const float *scale, *offset;

  __device__ float operator()(float value, int channel) const {
    return value * scale[channel] + offset[channel];
  }
};

template <class S, class T>
__device__ void rgb_tile(const Source<S>& source, const AugmentSample& sample, const Tile& tile,
                         int width, Normalization normalized, float range, T* values) {
  for (int i = threadIdx.x; i < tile.pixels; i += kThreads) {
    const Corners<S> corners(source, position_of(sample.map, tile, i, width));
    float r = corners[0], g = corners[1], b = corners[2];
    if (corners.inside && sample.shift_color) {
      r /= range, g /= range, b /= range;
      augment::shift_hsv(r, g, b, sample.color);
      r *= range, g *= range, b *= range;
    }
    values[3 * i] = from_float<T>(normalized(r, 0));
    values[3 * i + 1] = from_float<T>(normalized(g, 1));
    values[3 * i + 2] = from_float<T>(normalized(b, 2));
  }
}

template <class S, class T>
__global__ void image_kernel(const S* x, Extent in, const AugmentSample* samples,
                             Normalization normalized, float range, T* y, Extent out, int pixels) {
  auto* values = dynamic_shared<T>();
  const AugmentSample sample = samples[blockIdx.y];
  const Source<S> source = source_of_block(x, in);
  const Tile tile = tile_of_block(out, pixels);
  const int channels = out.channels, count = tile.pixels * channels;
  if (channels == 3) {
    rgb_tile(source, sample, tile, out.width, normalized, range, values);
  } else {
    for (int i = threadIdx.x; i < count; i += kThreads) {
      const int pixel = static_cast<unsigned>(i) / static_cast<unsigned>(channels);
      const int channel = i - pixel * channels;
      const Corners<S> corners(source, position_of(sample.map, tile, pixel, out.width));
      values[i] = from_float<T>(normalized(corners[channel], channel));
    }
  }
  store_tile(values, y + (blockIdx.y * tile.image_pixels + tile.first) * channels, count);
}

__global__ void label_kernel(const std::uint8_t* x, Extent in, const AugmentSample* samples,
                             std::uint8_t outside, std::uint8_t* y, Extent out, int pixels) {
  auto* values = dynamic_shared<std::uint8_t>();
  const AugmentSample sample = samples[blockIdx.y];
  const Source<std::uint8_t> source = source_of_block(x, in);
  const Tile tile = tile_of_block(out, pixels);
  for (int i = threadIdx.x; i < tile.pixels; i += kThreads) {
    const Position at = position_of(sample.map, tile, i, out.width);
    const std::uint8_t* label = source.at(augment::nearest(at.x), augment::nearest(at.y));
    values[i] = label ? *label : outside;
  }
  store_tile(values, y + blockIdx.y * tile.image_pixels + tile.first, tile.pixels);
}

/// A launch's grid: tiles of an image times images.
dim3 grid_of(const char* kernel, Shape in, Shape out, std::int64_t pixels) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  check(in.n == out.n && out.n < 65536 && out.h * out.w < most && in.h < most && in.w < most,
        kernel, "expects as many images in as out, below 65536 of 2^31 pixels each, got {} and {}",
        to_string(in), to_string(out));
  return dim3(static_cast<unsigned>(divide_up(out.h * out.w, pixels)),
              static_cast<unsigned>(out.n));
}

template <class Body>
void with_source(In x, const Body& body) {
  switch (x.dtype()) {
    case DType::u8:
      return body(x.as<std::uint8_t>());
    case DType::u16:
      return body(x.as<std::uint16_t>());
    case DType::f32:
      return body(x.as<float>());
    default:
      check(false, "augment_image", "reads u8, u16 and f32");
  }
}

void image(In x, In samples, In scale, In offset, Out y, AugmentImage a, Stream& stream) {
  const Shape in = x.shape(), out = y.shape();
  check(in.c == out.c && out.c > 0 && out.c <= kMaxAugmentChannels, "augment_image",
        "expects 1..{} channels in and out alike, got {} and {}", kMaxAugmentChannels, in.c, out.c);
  with_type(y.dtype(), [&]<class T>() {
    const std::int64_t pixel_bytes = out.c * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t pixels = tile_pixels(pixel_bytes);
    const dim3 grid = grid_of("augment_image", in, out, pixels);
    with_source(x, [&]<class S>(const S* source) {
      launch(image_kernel<S, T>, grid, kThreads, static_cast<std::size_t>(pixels * pixel_bytes),
             stream, source, extent_of(in), samples.as<AugmentSample>(),
             Normalization{scale.as<float>(), offset.as<float>()}, a.range, y.as<T>(),
             extent_of(out), pixels);
    });
  });
}

void label(In x, In samples, Out y, AugmentLabel a, Stream& stream) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t pixels = tile_pixels(1);
  launch(label_kernel, grid_of("augment_label", in, out, pixels), kThreads,
         static_cast<std::size_t>(pixels), stream, x.as<std::uint8_t>(), extent_of(in),
         samples.as<AugmentSample>(), a.outside, y.as<std::uint8_t>(), extent_of(out), pixels);
}

}  // namespace

void fill_augment() {
  augment_image.cuda = image;
  augment_label.cuda = label;
}

}  // namespace fjord::cuda
