// Drawn aerial scenes with exact labels: a data set for demonstrations and tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/image.h"

namespace fjord {

struct SynthOptions {
  int images = 60;
  int size = 256;
  int bands = 3;    // 3: PNG, red green blue; 4: TIFF, with near infrared
  int classes = 1;  // 1: 0/255 = building; 6: background, building, road, bare land, forest, water
  std::uint64_t seed = 0;
};

/// Image and label of scene `index`. Depends on size, bands, classes, seed and index alone.
struct Scene {
  Image image;
  Image label;
};
Scene draw_scene(const SynthOptions& options, int index);

/// Writes DIR/{train,val}/{images,labels}, every fifth scene for validation. Equal options give
/// equal bytes. Throws Error{usage} for options out of range and for a folder that holds train/ or
/// val/ already, Error{io} when a file can't be written.
struct SynthResult {
  int train = 0, val = 0;
};
SynthResult write_synth(const std::filesystem::path& folder, const SynthOptions& options);

}  // namespace fjord
