// Ground, fields, roofs, cars and trees, pixel by pixel.
#include "data/synth_painter.h"

#include <numbers>

#include "data/synth_colors.h"

namespace fjord::synth {

void Painter::ground(const Box& box, const Color& color, Class what, float rough) {
  canvas.for_box(box, [&](std::size_t i, float, float) {
    canvas.color[i] = color * (1 + rough * (noise(coarse, i) + 0.6f * noise(fine, i)));
    canvas.label[i] = what;
  });
}

// A field: furrows or plant rows, and patches where less grows.
void Painter::rows(const Box& box, const Color& color, Class what) {
  const float period = dice.real(3.5, 7), depth = dice.real(0.05, 0.14);
  const bool along = dice.chance(0.5);
  canvas.for_box(box, [&](std::size_t i, float u, float v) {
    const float wave = std::sin((along ? v : u) * 2 * std::numbers::pi_v<float> / period);
    canvas.color[i] =
        color * (1 + depth * wave + 0.14f * noise(coarse, i) + 0.08f * noise(fine, i));
    canvas.label[i] = what;
  });
}

// style 0: flat with a parapet; 1: gable, ridge along u; 2: hip.
void Painter::roof_part(const Box& box, const Color& color, int style, float eave) {
  const float c = std::cos(box.angle), s = std::sin(box.angle);
  const float light_u = c * sun.x + s * sun.y, light_v = -s * sun.x + c * sun.y;
  const float pitch = 0.55f;
  canvas.for_box(box, [&](std::size_t i, float u, float v) {
    const float to_v = box.half_v - std::abs(v), to_u = box.half_u - std::abs(u);
    float height = eave, shade = 1;
    if (style == 0) {
      shade = std::min(to_u, to_v) < 1.2f ? 1.18f : 1.0f;
    } else {
      const bool end_face = style == 2 && to_u < to_v;
      height += pitch * (end_face ? to_u : to_v);
      const float facing = end_face ? (u > 0 ? light_u : -light_u) : (v > 0 ? light_v : -light_v);
      shade = 1 + 0.38f * facing;
      if (!end_face && std::abs(v) < 0.7f) shade = 1.2f;  // the ridge's tiles
      shade += 0.04f * std::sin((end_face ? u : v) * 2.6f);
    }
    if (height <= canvas.height[i] && canvas.label[i] == building) return;
    canvas.height[i] = height;
    canvas.label[i] = building;
    canvas.color[i] = color * (shade * (1 + 0.05f * noise(fine, i)));
  });
}

// A house, one of three with a wing; `lot` is the rectangle it fills.
void Painter::building_at(const Box& lot) {
  const Color color = varied(dice.pick(kRoofs), 0.15);
  const int style = dice.chance(0.2) ? 0 : dice.chance(0.65) ? 1 : 2;
  const float eave = dice.real(4, 7);
  roof_part(lot, color, style, eave);
  if (dice.chance(0.35)) {
    const float side = dice.chance(0.5) ? 1.0f : -1.0f, end = dice.chance(0.5) ? 1.0f : -1.0f;
    Box wing = lot.inside(end * lot.half_u * 0.55f, side * lot.half_v * 0.9f, lot.half_v * 0.9f,
                          lot.half_u * 0.42f);
    wing.angle += std::numbers::pi_v<float> / 2;
    roof_part(wing, color, style, eave);
  }
  if (style == 0) return;
  const Box chimney = lot.inside(dice.real(-0.5, 0.5) * lot.half_u, 0.3f * lot.half_v, 1.1f, 1.1f);
  canvas.for_box(chimney, [&](std::size_t i, float, float) {
    canvas.color[i] = canvas.color[i] * 0.6f;
    canvas.height[i] += 2;
  });
}

void Painter::car(const Box& place) {
  const Color color{dice.real(0.15, 0.85), dice.real(0.15, 0.8), dice.real(0.15, 0.8), 0.4f};
  canvas.for_box(place, [&](std::size_t i, float u, float) {
    canvas.color[i] = color * (std::abs(u) < 0.8f ? 0.5f : 1.0f);  // the windscreen
    canvas.height[i] = 1;
  });
}

void Painter::parking(const Box& box) {
  const Color color = varied(dice.pick(kRoads), 0.12);
  ground(box, color, road, 0.06f);
  for (float v = -box.half_v + 5; v < box.half_v - 5; v += 13)
    for (float u = -box.half_u + 4; u < box.half_u - 3; u += 5) {
      canvas.for_box(box.inside(u - 2.5f, v, 0.5f, 3.0f),
                     [&](std::size_t i, float, float) { canvas.color[i] = color * 1.25f; });
      if (dice.chance(0.45)) car(box.inside(u, v, 1.5f, 3.0f));
    }
}

// A tree: a dome lit from one side, with leaves.
void Painter::crown(float x, float y, float radius) {
  const Color leaf = varied({0.24f, 0.34f, 0.17f, 0.74f}, 0.2);
  const float top = radius * dice.real(1.0, 1.5), turn = dice.real(0, 6.28);
  canvas.for_square(x, y, radius * 1.2f, [&](int px, int py, float dx, float dy) {
    const float edge = radius * (1 + 0.13f * std::sin(5 * std::atan2(dy, dx) + turn));
    const float r = std::hypot(dx, dy) / edge;
    if (r >= 1) return;
    const std::size_t i = canvas.at(px, py);
    const float lit = (dx * sun.x + dy * sun.y) / edge;
    canvas.color[i] = leaf * (0.85f + 0.5f * lit + 0.3f * noise(fine, i));
    canvas.height[i] = std::max(canvas.height[i], 3 + top * std::sqrt(1 - r * r));
    canvas.label[i] = forest;
  });
}

}  // namespace fjord::synth
