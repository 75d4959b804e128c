// Augmentation on the CPU: one pass over the output of each sample, by the calling thread alone.
#include "kernels/augment.h"

namespace fjord {

namespace {

// The pixels of one sample, with zero outside.
template <class T>
struct Source {
  const T* pixels;
  std::int64_t height, width, channels;

  bool inside(std::int64_t x, std::int64_t y) const {
    return x >= 0 && x < width && y >= 0 && y < height;
  }
  const T* at(std::int64_t x, std::int64_t y) const {
    static const T zero[kMaxAugmentChannels] = {};
    return inside(x, y) ? pixels + (y * width + x) * channels : zero;
  }
};

// Interpolates every channel at (x, y); false where all four taps are outside.
template <class T>
bool gather(const Source<T>& source, std::int64_t x, std::int64_t y, float* pixel) {
  using augment::kOne;
  if (x <= -kOne || x >= source.width * kOne || y <= -kOne || y >= source.height * kOne)
    return false;
  const augment::Taps taps = augment::taps_at(x, y);
  const bool whole = taps.fx == 0 && taps.fy == 0;
  const T* a = source.at(taps.x, taps.y);
  const T* b = whole ? a : source.at(taps.x + 1, taps.y);
  const T* c = whole ? a : source.at(taps.x, taps.y + 1);
  const T* d = whole ? a : source.at(taps.x + 1, taps.y + 1);
  for (std::int64_t k = 0; k < source.channels; ++k)
    pixel[k] =
        augment::bilinear(static_cast<float>(a[k]), static_cast<float>(b[k]),
                          static_cast<float>(c[k]), static_cast<float>(d[k]), taps.fx, taps.fy);
  return true;
}

void shift_color(float* pixel, HsvShift shift, float range) {
  float r = pixel[0] / range, g = pixel[1] / range, b = pixel[2] / range;
  augment::shift_hsv(r, g, b, shift);
  pixel[0] = r * range, pixel[1] = g * range, pixel[2] = b * range;
}

template <class T>
void augment_sample(const Source<T>& source, const AugmentSample& sample, const float* scale,
                    const float* offset, Shape out, float range, float* y) {
  const PixelMap& map = sample.map;
  float pixel[kMaxAugmentChannels];
  for (std::int64_t row = 0; row < out.h; ++row)
    for (std::int64_t column = 0; column < out.w; ++column, y += out.c) {
      const bool inside = gather(source, map.xx * column + map.xy * row + map.x0,
                                 map.yx * column + map.yy * row + map.y0, pixel);
      if (inside && sample.shift_color) shift_color(pixel, sample.color, range);
      for (std::int64_t k = 0; k < out.c; ++k)
        y[k] = (inside ? pixel[k] : 0.0f) * scale[k] + offset[k];
    }
}

template <class T>
void augment_batch(In x, In samples, In scale, In offset, Out y, AugmentImage a) {
  const Shape in = x.shape(), out = y.shape();
  for (std::int64_t n = 0; n < out.n; ++n)
    augment_sample(Source<T>{x.as<T>() + n * in.h * in.w * in.c, in.h, in.w, in.c},
                   samples.as<AugmentSample>()[n], scale.as<float>(), offset.as<float>(), out,
                   a.range, y.as<float>() + n * out.h * out.w * out.c);
}

void run_augment_image(In x, In samples, In scale, In offset, Out y, AugmentImage a, Stream&) {
  check(x.shape().c <= kMaxAugmentChannels && x.shape().c == y.shape().c, "augment_image",
        "expects 1..{} channels in and out alike, got {} and {}", kMaxAugmentChannels, x.shape().c,
        y.shape().c);
  switch (x.dtype()) {
    case DType::u8:
      return augment_batch<std::uint8_t>(x, samples, scale, offset, y, a);
    case DType::u16:
      return augment_batch<std::uint16_t>(x, samples, scale, offset, y, a);
    case DType::f32:
      return augment_batch<float>(x, samples, scale, offset, y, a);
    default:
      check(false, "augment_image", "reads u8, u16 and f32");
  }
}

void run_augment_label(In x, In samples, Out y, AugmentLabel a, Stream&) {
  const Shape in = x.shape(), out = y.shape();
  for (std::int64_t n = 0; n < out.n; ++n) {
    const Source<std::uint8_t> source{x.as<std::uint8_t>() + n * in.h * in.w, in.h, in.w, 1};
    const PixelMap& map = samples.as<AugmentSample>()[n].map;
    std::uint8_t* label = y.as<std::uint8_t>() + n * out.h * out.w;
    for (std::int64_t row = 0; row < out.h; ++row)
      for (std::int64_t column = 0; column < out.w; ++column) {
        const std::int64_t sx = augment::nearest(map.xx * column + map.xy * row + map.x0);
        const std::int64_t sy = augment::nearest(map.yx * column + map.yy * row + map.y0);
        *label++ = source.inside(sx, sy) ? *source.at(sx, sy) : a.outside;
      }
  }
}

}  // namespace

void enable_cpu_augment() {
  augment_image.cpu = run_augment_image;
  augment_label.cpu = run_augment_label;
}

}  // namespace fjord
