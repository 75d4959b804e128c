// Noise, shadows and the camera of drawn scenes.
#include "data/synth_canvas.h"

namespace fjord::synth {

Noise::Noise(Dice& dice, int size, float cell, int octaves)
    : size_(size), values_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size), 0.0f) {
  float amplitude = 0.6f;
  for (int octave = 0; octave < octaves; ++octave, cell /= 2, amplitude /= 2) {
    const int nodes = static_cast<int>(static_cast<float>(size) / cell) + 2;
    std::vector<float> lattice(static_cast<std::size_t>(nodes * nodes));
    for (float& node : lattice) node = dice.real(-1, 1);
    const auto node = [&](int x, int y) {
      return lattice[static_cast<std::size_t>(y * nodes + x)];
    };
    const auto smooth = [](float t) { return t * t * (3 - 2 * t); };
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x) {
        const float u = static_cast<float>(x) / cell, v = static_cast<float>(y) / cell;
        const int i = static_cast<int>(u), j = static_cast<int>(v);
        const float fu = smooth(u - static_cast<float>(i)), fv = smooth(v - static_cast<float>(j));
        const float top = node(i, j) + fu * (node(i + 1, j) - node(i, j));
        const float bottom = node(i, j + 1) + fu * (node(i + 1, j + 1) - node(i, j + 1));
        values_[static_cast<std::size_t>(y) * static_cast<std::size_t>(size) +
                static_cast<std::size_t>(x)] += amplitude * (top + fv * (bottom - top));
      }
  }
}

void cast_shadows(Canvas& canvas, Sun sun) {
  const float tallest = *std::max_element(canvas.height.begin(), canvas.height.end());
  const Color skylight{0.42f, 0.45f, 0.52f, 0.36f};
  for (int y = 0; y < canvas.size; ++y)
    for (int x = 0; x < canvas.size; ++x) {
      const float ground = canvas.height[canvas.at(x, y)];
      for (float step = 1; ground + step * sun.slope < tallest; step += 1) {
        const int sx = static_cast<int>(std::lround(static_cast<float>(x) + step * sun.x));
        const int sy = static_cast<int>(std::lround(static_cast<float>(y) + step * sun.y));
        if (sx < 0 || sy < 0 || sx >= canvas.size || sy >= canvas.size) break;
        // Half a pixel of slack keeps a sloping roof from shading itself.
        if (canvas.height[canvas.at(sx, sy)] <= ground + step * sun.slope + 0.5f) continue;
        for (std::size_t band = 0; band < 4; ++band)
          canvas.color[canvas.at(x, y)][band] *= skylight[band];
        break;
      }
    }
}

namespace {

// One pass of a 5-tap Gaussian along an axis; edges repeat.
void blur(const Canvas& canvas, std::vector<Color>& pixels, int step_x, int step_y, float sigma) {
  std::array<float, 5> weights;
  float sum = 0;
  for (int k = -2; k <= 2; ++k) {
    const float t = static_cast<float>(k) / sigma;
    sum += weights[static_cast<std::size_t>(k + 2)] = std::exp(-0.5f * t * t);
  }
  const std::vector<Color> sharp = pixels;
  const auto clamp = [&](int v) { return std::clamp(v, 0, canvas.size - 1); };
  for (int y = 0; y < canvas.size; ++y)
    for (int x = 0; x < canvas.size; ++x) {
      Color total{};
      for (int k = -2; k <= 2; ++k) {
        const Color& tap = sharp[canvas.at(clamp(x + k * step_x), clamp(y + k * step_y))];
        for (std::size_t band = 0; band < 4; ++band)
          total[band] += tap[band] * weights[static_cast<std::size_t>(k + 2)] / sum;
      }
      pixels[canvas.at(x, y)] = total;
    }
}

}  // namespace

void expose(Canvas& canvas, Camera camera, Dice& dice) {
  blur(canvas, canvas.color, 1, 0, camera.sigma);
  blur(canvas, canvas.color, 0, 1, camera.sigma);
  for (Color& pixel : canvas.color)
    for (float& band : pixel) {
      const float light = band * camera.gain * (1 - camera.haze) + camera.haze;
      // Shot noise grows with the root of the light, read-out noise does not.
      const float deviation = camera.noise * (0.5f + std::sqrt(std::max(0.0f, light)));
      band = std::clamp(light + deviation * dice.normal(), 0.0f, 1.0f);
    }
}

}  // namespace fjord::synth
