// What stands in a drawn scene: blocks between roads, with houses, halls, fields, woods and ponds.
#include <numbers>

#include "data/synth.h"
#include "data/synth_canvas.h"
#include "data/synth_colors.h"

namespace fjord {

namespace {

using namespace synth;

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
  void hall(const Box& block);
  void crown(float x, float y, float radius);
  void pond(const Box& block);
  void woods(const Box& block);
  void houses(const Box& block);
  void car(const Box& place);
  void parking(const Box& box);
  void block(const Box& box);
};

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

// A large flat roof beside its parking lot.
void Painter::hall(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1), background, 0.12f);
  const float half = block.half_u * dice.real(0.4, 0.5);
  const float depth = std::min(block.half_v * 0.75f, 26.0f);
  const Box roof = block.inside(-block.half_u + half + 4, 0, half - 2, depth);
  parking(block.inside(half + 1, 0, block.half_u - half - 4, depth));
  roof_part(roof, varied(dice.pick(kRoofs), 0.15), 0, dice.real(7, 11));
  for (int unit = dice.whole(2, 5); unit > 0; --unit)
    canvas.for_box(
        roof.inside(dice.real(-0.8, 0.8) * roof.half_u, dice.real(-0.8, 0.8) * depth, 1.8f, 1.8f),
        [&](std::size_t i, float, float) {
          canvas.color[i] = canvas.color[i] * 1.25f;
          canvas.height[i] += 2;
        });
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

void Painter::pond(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1), background, 0.16f);
  const Color color = varied(dice.pick(kWaters), 0.15);
  canvas.for_box(block, [&](std::size_t i, float u, float v) {
    const float r = std::hypot(u / block.half_u, v / block.half_v) + 0.25f * noise(coarse, i);
    if (r > 0.82f) return;
    canvas.color[i] = color * (1 + 0.06f * noise(fine, i));
    canvas.label[i] = water;
  });
}

void Painter::woods(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1) * 0.8f, background, 0.15f);
  for (float v = -block.half_v + 5; v < block.half_v - 3; v += 7)
    for (float u = -block.half_u + 5; u < block.half_u - 3; u += 7) {
      const Box place = block.inside(u + dice.real(-2, 2), v + dice.real(-2, 2), 1, 1);
      if (dice.chance(0.93)) crown(place.x, place.y, dice.real(4.5, 7));
    }
}

// Two rows of lots with a house, a drive and trees on each.
void Painter::houses(const Box& block) {
  const bool dusty = dice.chance(0.2);  // yards of bare earth
  if (dusty)
    ground(block, varied(dice.pick(kSoils), 0.1), bare_land, 0.12f);
  else
    ground(block, varied(dice.pick(kGrass), 0.12), background, 0.16f);
  const int lots_v = block.half_v > 30 ? 2 : 1;
  const float lot_v = block.half_v / static_cast<float>(lots_v);
  for (int row = 0; row < lots_v; ++row) {
    const float v = -block.half_v + lot_v * static_cast<float>(2 * row + 1);
    for (float u = -block.half_u + 4; u < block.half_u - 22;) {
      const float half_u = dice.real(11, 19), half_v = std::min(dice.real(10, 14), lot_v - 4);
      const float centre = u + half_u;
      u += 2 * half_u + dice.real(6, 16);
      if (centre + half_u > block.half_u - 3 || dice.chance(0.08)) continue;
      Box house = block.inside(centre, v + dice.real(-2, 2), half_u, half_v);
      house.angle += dice.real(-0.06, 0.06);
      if (dice.chance(0.6)) {
        const float out = row == 0 ? -1.0f : 1.0f;
        ground(block.inside(centre + half_u + 3, v + out * lot_v * 0.5f, 2.2f, lot_v * 0.5f),
               varied(dice.pick(kRoads), 0.1), road, 0.05f);
      }
      building_at(house);
      for (int tree = dice.whole(0, 2); tree > 0; --tree) {
        const float side = dice.chance(0.5) ? 1.0f : -1.0f;
        const Box place =
            house.inside(dice.real(-1.1, 1.1) * half_u, side * (half_v + dice.real(3, 7)), 1, 1);
        crown(place.x, place.y, dice.real(3.5, 6));
      }
    }
  }
}

void Painter::block(const Box& box) {
  const double use = dice.uniform(0, 1);
  if (use < 0.55) return houses(box);
  if (use < 0.69) return hall(box);
  if (use < 0.81) return rows(box, varied(dice.pick(kSoils), 0.12), bare_land);
  if (use < 0.89) return rows(box, varied(dice.pick(kCrops), 0.12), background);
  if (use < 0.945) return woods(box);
  pond(box);
}

// A line across the scene with its middle mark and cars.
void draw_road(Painter& painter, const Box& line) {
  const Color color = painter.varied(painter.dice.pick(kRoads), 0.12);
  painter.ground(line, color, road, 0.06f);
  painter.canvas.for_box({line.x, line.y, line.angle, line.half_u, 0.5f},
                         [&](std::size_t i, float u, float) {
                           if (std::fmod(std::abs(u), 9.0f) < 5)
                             painter.canvas.color[i] = color * 1.3f;
                         });
  for (float u = -line.half_u; u < line.half_u; u += 14)
    if (painter.dice.chance(0.16))
      painter.car(line.inside(u, (painter.dice.chance(0.5) ? 1.0f : -1.0f) * line.half_v * 0.5f,
                              3.0f, 1.5f));
}

// Positions of roads that cover -reach to reach.
std::vector<float> road_lines(Dice& dice, float reach, double nearest, double farthest) {
  std::vector<float> lines{-reach - dice.real(0, farthest)};
  while (lines.back() < reach) lines.push_back(lines.back() + dice.real(nearest, farthest));
  return lines;
}

void draw_town(Painter& painter) {
  Dice& dice = painter.dice;
  const float middle = 0.5f * static_cast<float>(painter.canvas.size), reach = middle * 1.5f;
  const Box town{middle, middle, dice.real(0, std::numbers::pi), reach, reach};
  painter.ground(town, painter.varied(dice.pick(kGrass), 0.1), background, 0.16f);
  const float half_road = dice.real(4, 6);
  const auto us = road_lines(dice, reach, 95, 150), vs = road_lines(dice, reach, 62, 96);
  for (std::size_t i = 0; i + 1 < us.size(); ++i)
    for (std::size_t j = 0; j + 1 < vs.size(); ++j) {
      const float half_u = 0.5f * (us[i + 1] - us[i]), half_v = 0.5f * (vs[j + 1] - vs[j]);
      painter.block(town.inside(us[i] + half_u, vs[j] + half_v, half_u - half_road - 2,
                                half_v - half_road - 2));
    }
  for (const float v : vs) draw_road(painter, town.inside(0, v, reach, half_road));
  for (const float u : us) {
    Box line = town.inside(u, 0, reach, half_road);
    line.angle += std::numbers::pi_v<float> / 2;
    draw_road(painter, line);
  }
}

Image image_of(const Canvas& canvas, int bands) {
  Image image = make_image(canvas.size, canvas.size, bands);
  const auto pixels = image.as<std::uint8_t>();
  for (std::size_t i = 0; i < canvas.area(); ++i)
    for (int band = 0; band < bands; ++band)
      pixels[i * static_cast<std::size_t>(bands) + static_cast<std::size_t>(band)] =
          static_cast<std::uint8_t>(
              std::lround(255 * canvas.color[i][static_cast<std::size_t>(band)]));
  return image;
}

}  // namespace

Scene draw_scene(const SynthOptions& options, int index) {
  Dice dice(options.seed, static_cast<std::uint32_t>(index));
  Canvas canvas(options.size);
  const Noise coarse(dice, options.size, 40, 4), fine(dice, options.size, 4, 2);
  const float azimuth = dice.real(0, 2 * std::numbers::pi);
  const Sun sun{std::cos(azimuth), std::sin(azimuth), dice.real(0.7, 1.2)};
  Painter painter{canvas, dice, sun, coarse, fine};
  draw_town(painter);
  cast_shadows(canvas, sun);
  expose(canvas,
         {.gain = dice.real(0.85, 1.15),
          .haze = dice.real(0, 0.06),
          .sigma = dice.real(0.5, 0.8),
          .noise = dice.real(0.01, 0.022)},
         dice);
  Scene scene{image_of(canvas, options.bands), make_image(options.size, options.size, 1)};
  const auto label = scene.label.as<std::uint8_t>();
  for (std::size_t i = 0; i < canvas.area(); ++i)
    label[i] = options.classes == 1 ? (canvas.label[i] == building ? 255 : 0) : canvas.label[i];
  return scene;
}

}  // namespace fjord
