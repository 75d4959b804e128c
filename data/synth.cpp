// Writing a drawn data set.
#include "data/synth.h"

#include "data/image_write.h"
#include "kernels/error.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

void check_option(bool ok, std::string_view flag, int value, std::string_view allowed,
                  std::string_view remedy) {
  if (!ok)
    throw Error(ExitCode::usage, "synth", fmt::format("{} {}", flag, value), allowed, remedy);
}

void check_options(const SynthOptions& o) {
  check_option(o.images >= 2 && o.images <= 1'000'000, "--images", o.images,
               "2 to 1000000 scenes can be drawn", "use --images 60");
  check_option(o.size >= 64 && o.size <= 4096, "--size", o.size, "64 to 4096 pixels can be drawn",
               "use --size 256");
  check_option(o.bands == 3 || o.bands == 4, "--bands", o.bands,
               "3 is red, green, blue; 4 adds near infrared", "use --bands 3");
  check_option(o.classes == 1 || o.classes == 6, "--classes", o.classes,
               "1 is building or not; 6 is background, building, road, bare land, forest, water",
               "use --classes 1");
}

void make_folder(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    throw Error(ExitCode::io, "mkdir", printable(folder.native()) + ": the folder can't be made",
                failed.message(), "choose a folder that can be written");
}

}  // namespace

SynthResult write_synth(const fs::path& folder, const SynthOptions& options) {
  check_options(options);
  for (const char* name : {"train", "val"}) {
    if (fs::exists(folder / name))
      throw Error(ExitCode::usage, "exists",
                  printable((folder / name).native()) + ": there already",
                  "a drawn data set does not overwrite files", "choose another folder");
    for (const char* kind : {"images", "labels"}) make_folder(folder / name / kind);
  }
  SynthResult result;
  for (int i = 0; i < options.images; ++i) {
    const bool validation = i % 5 == 4 || (i + 1 == options.images && result.val == 0);
    ++(validation ? result.val : result.train);
    const fs::path split = folder / (validation ? "val" : "train");
    const std::string stem = fmt::format("scene_{:04}", i);
    const Scene scene = draw_scene(options, i);
    if (options.bands == 3)
      write_png(split / "images" / (stem + ".png"), scene.image);
    else
      write_tiff(split / "images" / (stem + ".tif"), scene.image, nullptr);
    write_png(split / "labels" / (stem + ".png"), scene.label);
  }
  return result;
}

}  // namespace fjord
