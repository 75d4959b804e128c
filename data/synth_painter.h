// Paints the things of a drawn scene: ground, fields, roofs, cars, trees.
#pragma once

#include "data/synth_canvas.h"

namespace fjord::synth {

struct Painter {
  Canvas& canvas;
  Dice& dice;
  Sun sun;
  const Noise& coarse;
  const Noise& fine;

  float noise(const Noise& noise, std::size_t i) const {
    return noise.at(static_cast<int>(i % static_cast<std::size_t>(canvas.size)),
                    static_cast<int>(i / static_cast<std::size_t>(canvas.size)));
  }
  Color varied(const Color& color, double spread) {
    const float gain = dice.real(1 - spread, 1 + spread);
    Color result = color * gain;
    for (float& band : result) band *= dice.real(0.96, 1.04);
    return result;
  }

  void ground(const Box& box, const Color& color, Class what, float rough);
  void rows(const Box& box, const Color& color, Class what);
  void roof_part(const Box& box, const Color& color, int style, float eave);
  void building_at(const Box& lot);
  void crown(float x, float y, float radius);
  void car(const Box& place);
  void parking(const Box& box);
};

}  // namespace fjord::synth
