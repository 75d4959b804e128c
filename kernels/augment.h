// Augmentation as one gather: geometry, flips and turns compose to one affine map of pixel indices;
// four taps in float, colour on the interpolated value, then normalisation.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/kernel.h"
#include "kernels/rng.h"

namespace fjord {

/// `standard` is the reference recipe: colour, scale and shift, flips, quarter turn, each with
/// probability 0.5.
enum class AugmentPolicy : std::uint8_t { none, standard };

/// Shifts in HSV space for RGB in [0, 1]: hue in degrees, saturation and value in [0, 1].
struct HsvShift {
  float hue = 0, saturation = 0, value = 0;
};

/// Source index of output pixel (column, row), in units of 2^-32 pixel. Integers, so that every
/// device finds the same pixel: x = xx * column + xy * row + x0, y likewise.
struct PixelMap {
  std::int64_t xx, xy, x0, yx, yy, y0;
};

/// What one sample goes through.
struct AugmentSample {
  PixelMap map{std::int64_t{1} << 32, 0, 0, 0, std::int64_t{1} << 32, 0};
  HsvShift color;
  std::int32_t shift_color = 0;  // 0 leaves colours as they are
};

/// The window of the source that becomes the output, and what may be drawn for it.
struct AugmentFrame {
  std::int64_t height = 0, width = 0;                // of the output
  std::int64_t source_height = 0, source_width = 0;  // of the decoded image: larger with --crop
  AugmentPolicy policy = AugmentPolicy::none;
  bool rgb = true;           // colour shifts need red, green, blue
  bool random_crop = false;  // else the crop is the middle
};

namespace augment {

inline constexpr std::int64_t kOne = std::int64_t{1} << 32;

FJORD_HD std::int64_t fixed(double pixels) {
  return static_cast<std::int64_t>(std::floor(pixels * static_cast<double>(kOne) + 0.5));
}

/// a after b: the map that first applies b (output side), then a (source side).
FJORD_HD PixelMap compose(const PixelMap& a, const PixelMap& b) {
  // b is a flip, a turn or a move: whole pixels, so that products stay exact.
  const std::int64_t bxx = b.xx / kOne, bxy = b.xy / kOne, bx = b.x0 / kOne;
  const std::int64_t byx = b.yx / kOne, byy = b.yy / kOne, by = b.y0 / kOne;
  return {a.xx * bxx + a.xy * byx, a.xx * bxy + a.xy * byy, a.xx * bx + a.xy * by + a.x0,
          a.yx * bxx + a.yy * byx, a.yx * bxy + a.yy * byy, a.yx * bx + a.yy * by + a.y0};
}

/// Inverse of x' = s * (x - w/2) + w/2 + shift along one axis: slope and offset.
FJORD_HD void inverse_scale(double s, std::int64_t size, double shift, std::int64_t& slope,
                            std::int64_t& offset) {
  const double middle = 0.5 * static_cast<double>(size);
  slope = fixed(1 / s);
  offset = fixed(middle - (middle + shift) / s);
}

/// OpenCV's RGB -> HSV -> RGB on floats in [0, 1] with the shifts between: hue wraps at 360,
/// saturation and value are clamped to [0, 1].
FJORD_HD void shift_hsv(float& r, float& g, float& b, HsvShift shift) {
  const float high = r > g ? (r > b ? r : b) : (g > b ? g : b);
  const float low = r < g ? (r < b ? r : b) : (g < b ? g : b);
  const float range = high - low;
  float h = 0;
  if (range > 0) {
    const float k = 60.0f / range;
    h = high == r ? (g - b) * k : high == g ? (b - r) * k + 120.0f : (r - g) * k + 240.0f;
  }
  float s = high > 0 ? range / high : 0.0f;
  h += shift.hue;
  h -= 360.0f * std::floor(h / 360.0f);
  s += shift.saturation;
  s = s < 0 ? 0.0f : s > 1 ? 1.0f : s;
  float v = high + shift.value;
  v = v < 0 ? 0.0f : v > 1 ? 1.0f : v;
  const float sector = std::floor(h / 60.0f), f = h / 60.0f - sector;
  const float p = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
  switch (static_cast<int>(sector)) {
    case 1:
      r = q, g = v, b = p;
      break;
    case 2:
      r = p, g = v, b = t;
      break;
    case 3:
      r = p, g = q, b = v;
      break;
    case 4:
      r = t, g = p, b = v;
      break;
    case 5:
      r = v, g = p, b = q;
      break;
    default:  // 0, and 6 where rounding of h reached 360
      r = v, g = t, b = p;
  }
}

/// Four pixels around a source position and their weights along x and y.
struct Taps {
  std::int64_t x, y;
  float fx, fy;
};

FJORD_HD Taps taps_at(std::int64_t x, std::int64_t y) {
  constexpr float kUnit = 0x1p-32f;
  return {x >> 32, y >> 32, static_cast<float>(x & (kOne - 1)) * kUnit,
          static_cast<float>(y & (kOne - 1)) * kUnit};
}

FJORD_HD float bilinear(float a, float b, float c, float d, float fx, float fy) {
  const float top = a + fx * (b - a), bottom = c + fx * (d - c);
  return top + fy * (bottom - top);
}

FJORD_HD std::int64_t nearest(std::int64_t position) { return (position + kOne / 2) >> 32; }

}  // namespace augment

/// Draws what sample `index` goes through in `epoch`; key of `random` is the seed.
/// Words: block 0 colour?, geometry?, horizontal?, vertical?; block 1 turn?, hue, saturation,
/// value; block 2 scale, aspect, dx, dy; block 3 crop x, crop y.
inline AugmentSample draw_augmentation(Philox random, std::uint32_t epoch, std::uint32_t index,
                                       const AugmentFrame& frame) {
  using namespace augment;
  RandomWords w[4];
  for (std::uint32_t block = 0; block < 4; ++block)
    w[block] = random.draw(Draw::augment, epoch, index, block);
  const auto heads = [](std::uint32_t word) { return uniform(word) < 0.5; };
  AugmentSample sample;
  const std::int64_t width = frame.width, height = frame.height;
  PixelMap& map = sample.map;
  if (frame.policy == AugmentPolicy::standard) {
    if (frame.rgb && heads(w[0][0])) {
      sample.shift_color = 1;
      sample.color = {static_cast<float>(2 * uniform_int(w[1][1], -30, 30)),
                      static_cast<float>(uniform(w[1][2], -5, 5) / 255),
                      static_cast<float>(uniform(w[1][3], -15, 15) / 255)};
    }
    if (heads(w[0][1])) {
      const double scale = uniform(w[2][0], 0.9, 1.1), aspect = uniform(w[2][1], 0.9, 1.1);
      const double dx = std::round(uniform(w[2][2], -0.1, 0.1) * static_cast<double>(width));
      const double dy = std::round(uniform(w[2][3], -0.1, 0.1) * static_cast<double>(height));
      inverse_scale(scale * std::sqrt(aspect), width, dx, map.xx, map.x0);
      inverse_scale(scale / std::sqrt(aspect), height, dy, map.yy, map.y0);
    }
    if (heads(w[0][2])) map = compose(map, {-kOne, 0, (width - 1) * kOne, 0, kOne, 0});
    if (heads(w[0][3])) map = compose(map, {kOne, 0, 0, 0, -kOne, (height - 1) * kOne});
    if (heads(w[1][0]) && width == height)  // counter-clockwise: out[r][c] = in[c][width-1-r]
      map = compose(map, {0, -kOne, (width - 1) * kOne, kOne, 0, 0});
    else if (heads(w[1][0]))
      map = compose(map, {-kOne, 0, (width - 1) * kOne, 0, -kOne, (height - 1) * kOne});
  }
  const std::int64_t spare_x = frame.source_width - width, spare_y = frame.source_height - height;
  map.x0 += kOne * (frame.random_crop ? uniform_int(w[3][0], 0, spare_x) : spare_x / 2);
  map.y0 += kOne * (frame.random_crop ? uniform_int(w[3][1], 0, spare_y) : spare_y / 2);
  return sample;
}

/// More bands than any sensor's image that is decoded whole.
inline constexpr std::int64_t kMaxAugmentChannels = 512;

struct AugmentImage {
  float range = 255;  // the value that counts as 1 in HSV
};

struct AugmentLabel {
  std::uint8_t outside = 0;  // class of pixels that come from outside the source
};

/// x (n x h x w x c of u8, u16 or f32), samples (n AugmentSample, as u8), scale and offset (c
/// floats)
/// -> y (n x H x W x c f32): bilinear, colour, then value * scale + offset. Pixels from outside x
/// are 0 before scale and offset. One thread on the CPU: batches are made by several loader
/// threads, a sample each.
inline Kernel<In, In, In, In, Out, AugmentImage> augment_image{"augment_image"};
/// x (n x h x w x 1 of u8), samples -> y (n x H x W x 1 u8), nearest.
inline Kernel<In, In, Out, AugmentLabel> augment_label{"augment_label"};

/// Fills the CPU's slots; may be called again.
void enable_cpu_augment();

}  // namespace fjord
