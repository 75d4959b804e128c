// The plan of a drawn scene: blocks between roads, with houses, halls, fields, woods or a pond.
#include <numbers>

#include "data/synth.h"
#include "data/synth_colors.h"
#include "data/synth_painter.h"

namespace fjord {

namespace {

using namespace synth;

struct Town : Painter {
  void hall(const Box& block);
  void pond(const Box& block);
  void woods(const Box& block);
  void houses(const Box& block);
  void block(const Box& box);

  /// A place in a box, `part` of its half sides from the middle at most.
  Box spot(const Box& box, float part, float half) {
    const float u = dice.real(-part, part) * box.half_u;
    const float v = dice.real(-part, part) * box.half_v;
    return box.inside(u, v, half, half);
  }
};

// A large flat roof beside its parking lot.
void Town::hall(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1), background, 0.12f);
  const float half = block.half_u * dice.real(0.4, 0.5);
  const float depth = std::min(block.half_v * 0.75f, 26.0f);
  const Box roof = block.inside(-block.half_u + half + 4, 0, half - 2, depth);
  parking(block.inside(half + 1, 0, block.half_u - half - 4, depth));
  const Color color = varied(dice.pick(kRoofs), 0.15);
  roof_part(roof, color, 0, dice.real(7, 11));
  for (int unit = dice.whole(2, 5); unit > 0; --unit)
    canvas.for_box(spot(roof, 0.8f, 1.8f), [&](std::size_t i, float, float) {
      canvas.color[i] = canvas.color[i] * 1.25f;
      canvas.height[i] += 2;
    });
}

void Town::pond(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1), background, 0.16f);
  const Color color = varied(dice.pick(kWaters), 0.15);
  canvas.for_box(block, [&](std::size_t i, float u, float v) {
    const float r = std::hypot(u / block.half_u, v / block.half_v) + 0.25f * noise(coarse, i);
    if (r > 0.82f) return;
    canvas.color[i] = color * (1 + 0.06f * noise(fine, i));
    canvas.label[i] = water;
  });
}

void Town::woods(const Box& block) {
  ground(block, varied(dice.pick(kGrass), 0.1) * 0.8f, background, 0.15f);
  for (float v = -block.half_v + 5; v < block.half_v - 3; v += 7)
    for (float u = -block.half_u + 5; u < block.half_u - 3; u += 7) {
      const float jitter_u = dice.real(-2, 2), jitter_v = dice.real(-2, 2);
      const Box place = block.inside(u + jitter_u, v + jitter_v, 1, 1);
      if (dice.chance(0.93)) crown(place.x, place.y, dice.real(4.5, 7));
    }
}

// Two rows of lots with a house, a drive and trees on each.
void Town::houses(const Box& block) {
  const bool dusty = dice.chance(0.12);  // yards of bare earth
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
        const float along = dice.real(-1.1, 1.1) * half_u;
        const Box place = house.inside(along, side * (half_v + dice.real(3, 7)), 1, 1);
        crown(place.x, place.y, dice.real(3.5, 6));
      }
    }
  }
}

void Town::block(const Box& box) {
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
    if (painter.dice.chance(0.16)) {
      const float lane = painter.dice.chance(0.5) ? 0.5f : -0.5f;
      painter.car(line.inside(u, lane * line.half_v, 3.0f, 1.5f));
    }
}

// Positions of roads that cover -reach to reach.
std::vector<float> road_lines(Dice& dice, float reach, double nearest, double farthest) {
  std::vector<float> lines{-reach - dice.real(0, farthest)};
  while (lines.back() < reach) lines.push_back(lines.back() + dice.real(nearest, farthest));
  return lines;
}

void draw_town(Town& painter) {
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
  Town town{{canvas, dice, sun, coarse, fine}};
  draw_town(town);
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
