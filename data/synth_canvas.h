// A canvas of reflectances, heights and classes, seen from above: shapes, light, camera.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/rng.h"

namespace fjord::synth {

enum Class : std::uint8_t { background, building, road, bare_land, forest, water };

using Color = std::array<float, 4>;  // reflectance of red, green, blue, near infrared in [0, 1]

inline Color operator*(Color c, float gain) {
  for (float& band : c) band *= gain;
  return c;
}
inline Color mix(Color a, const Color& b, float part) {
  for (std::size_t band = 0; band < 4; ++band) a[band] += part * (b[band] - a[band]);
  return a;
}

/// A sequence of numbers drawn from one scene's stream.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint32_t scene) : random_{seed}, scene_(scene) {}

  double uniform(double low, double high) { return fjord::uniform(word(), low, high); }
  float real(double low, double high) { return static_cast<float>(uniform(low, high)); }
  int whole(int low, int high) { return static_cast<int>(uniform_int(word(), low, high)); }
  bool chance(double p) { return uniform(0, 1) < p; }
  float normal() {
    const std::uint32_t a = word();
    return static_cast<float>(fjord::normal(a, word()));
  }
  template <std::size_t N>
  const Color& pick(const std::array<Color, N>& colors) {
    return colors[static_cast<std::size_t>(whole(0, static_cast<int>(N) - 1))];
  }

 private:
  std::uint32_t word() {
    const std::uint32_t i = count_++;
    if (i % 4 == 0) block_ = random_.draw(Draw::scene, scene_, 0, i / 4);
    return block_[static_cast<int>(i % 4)];
  }
  Philox random_;
  std::uint32_t scene_, count_ = 0;
  RandomWords block_{};
};

/// Smooth noise in about [-1, 1]: octaves of value noise, the first with cells of `cell` pixels.
class Noise {
 public:
  Noise(Dice& dice, int size, float cell, int octaves);
  float at(int x, int y) const {
    return values_[static_cast<std::size_t>(y) * static_cast<std::size_t>(size_) +
                   static_cast<std::size_t>(x)];
  }

 private:
  int size_;
  std::vector<float> values_;
};

/// A rectangle turned by `angle`; local coordinates u along, v across.
struct Box {
  float x, y, angle, half_u, half_v;

  /// The box at local offset (u, v) of this one, turned alike.
  Box inside(float u, float v, float new_half_u, float new_half_v) const {
    const float c = std::cos(angle), s = std::sin(angle);
    return {x + c * u - s * v, y + s * u + c * v, angle, new_half_u, new_half_v};
  }
};

struct Canvas {
  explicit Canvas(int size)
      : size(size), color(area()), height(area(), 0.0f), label(area(), background) {}

  std::size_t area() const {
    return static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  }
  std::size_t at(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(size) +
           static_cast<std::size_t>(x);
  }

  /// f(index, u, v) for the pixels whose centre lies in the box.
  template <class F>
  void for_box(const Box& box, F f) const {
    const float reach = std::hypot(box.half_u, box.half_v) + 1;
    const float c = std::cos(box.angle), s = std::sin(box.angle);
    for_square(box.x, box.y, reach, [&](int px, int py, float dx, float dy) {
      const float u = c * dx + s * dy, v = -s * dx + c * dy;
      if (std::abs(u) <= box.half_u && std::abs(v) <= box.half_v) f(at(px, py), u, v);
    });
  }

  /// f(x, y, dx, dy) for the pixels around a point.
  template <class F>
  void for_square(float x, float y, float reach, F f) const {
    const auto low = [](float v) { return std::max(0, static_cast<int>(std::floor(v))); };
    const auto high = [&](float v) { return std::min(size - 1, static_cast<int>(std::ceil(v))); };
    for (int py = low(y - reach); py <= high(y + reach); ++py)
      for (int px = low(x - reach); px <= high(x + reach); ++px)
        f(px, py, static_cast<float>(px) - x, static_cast<float>(py) - y);
  }

  int size;
  std::vector<Color> color;
  std::vector<float> height;  // above the ground, in pixels
  std::vector<std::uint8_t> label;
};

struct Sun {
  float x, y;   // towards the sun, seen from above; length 1
  float slope;  // tangent of its elevation
};

/// Darkens what the sun does not reach, by marching towards it over the heights.
void cast_shadows(Canvas& canvas, Sun sun);

/// Illumination, haze, optics (a blur of `sigma` pixels) and the sensor's noise.
struct Camera {
  float gain, haze, sigma, noise;
};
void expose(Canvas& canvas, Camera camera, Dice& dice);

}  // namespace fjord::synth
