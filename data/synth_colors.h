// Reflectances (red, green, blue, near infrared) of what stands in drawn scenes.
#pragma once

#include <array>

#include "data/synth_canvas.h"

namespace fjord::synth {

// Roofs, soils and roads nearly share their colours: one pixel seldom tells which of them it is.
inline constexpr std::array<Color, 7> kRoofs = {{{0.60f, 0.33f, 0.24f, 0.45f},
                                                 {0.44f, 0.31f, 0.26f, 0.40f},
                                                 {0.49f, 0.49f, 0.50f, 0.44f},
                                                 {0.27f, 0.29f, 0.33f, 0.30f},
                                                 {0.71f, 0.70f, 0.68f, 0.60f},
                                                 {0.60f, 0.53f, 0.43f, 0.55f},
                                                 {0.37f, 0.37f, 0.38f, 0.36f}}};
inline constexpr std::array<Color, 4> kSoils = {{{0.53f, 0.40f, 0.30f, 0.47f},
                                                 {0.44f, 0.35f, 0.28f, 0.41f},
                                                 {0.59f, 0.52f, 0.42f, 0.55f},
                                                 {0.64f, 0.59f, 0.50f, 0.58f}}};
inline constexpr std::array<Color, 4> kRoads = {{{0.46f, 0.46f, 0.46f, 0.43f},
                                                 {0.32f, 0.32f, 0.33f, 0.31f},
                                                 {0.66f, 0.64f, 0.61f, 0.56f},
                                                 {0.56f, 0.51f, 0.44f, 0.52f}}};
inline constexpr std::array<Color, 4> kGrass = {{{0.33f, 0.42f, 0.23f, 0.70f},
                                                 {0.42f, 0.45f, 0.27f, 0.66f},
                                                 {0.27f, 0.38f, 0.19f, 0.76f},
                                                 {0.48f, 0.46f, 0.31f, 0.58f}}};
inline constexpr std::array<Color, 4> kCrops = {{{0.25f, 0.40f, 0.17f, 0.80f},
                                                 {0.38f, 0.46f, 0.22f, 0.72f},
                                                 {0.60f, 0.55f, 0.34f, 0.60f},
                                                 {0.31f, 0.36f, 0.24f, 0.66f}}};
inline constexpr std::array<Color, 3> kWaters = {
    {{0.13f, 0.20f, 0.23f, 0.06f}, {0.20f, 0.25f, 0.21f, 0.09f}, {0.30f, 0.30f, 0.25f, 0.13f}}};

}  // namespace fjord::synth
