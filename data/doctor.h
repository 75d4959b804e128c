// One pass over a data set that finds every fault and changes no file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/label_map.h"
#include "data/normalize.h"

namespace fjord {

struct DoctorOptions {
  LabelOptions labels;
  SplitOptions split;
  int threads = 2;
};

/// What one split holds.
struct SplitSummary {
  std::string name;
  std::int64_t pairs = 0;                       // whose image and label could be read
  std::map<std::string, std::int64_t> sizes;    // "256x256" (width x height) -> images
  std::map<int, std::int64_t> bands;            // bands -> images
  std::map<std::string, std::int64_t> types;    // "8-bit", "16-bit", "float" -> images
  std::map<std::string, std::int64_t> formats;  // "PNG", ... -> images
  std::vector<std::int64_t> class_pixels;       // of each class
  std::int64_t ignored_pixels = 0, turned = 0;  // turned: images with an EXIF orientation
  std::int64_t empty_labels = 0;                // background alone

  double class_share(int k) const;  // of the pixels that count
};

struct DoctorReport {
  LabelMap labels;
  std::vector<SplitSummary> splits;
  std::vector<Fault> faults;  // errors first, each in order of the file's name
  std::vector<std::string> notes;

  std::int64_t errors() const;
  std::int64_t warnings() const;
};

/// Throws Error{dataset} only for a folder that is no data set at all, Error{usage} for options.
DoctorReport examine_dataset(const std::filesystem::path& data, const DoctorOptions& options);

/// The report as a person reads it: a summary per split, then each fault on its line.
std::string to_text(const DoctorReport& report);

/// What training needs to know of its images.
struct TrainingFacts {
  int bands = 0;  // of the first image; grey among RGB is accepted where 3 channels are asked for
  DType dtype = DType::u8;
  std::map<std::string, std::int64_t> sizes;  // "256x256" (width x height) -> images
  std::int64_t turned = 0;                    // images with an EXIF orientation
};

struct TrainingChecks {
  int threads = 2;
  int in_channels = 0;  // --in-channels; 0: from the data
};

/// What training checks before it starts, on headers alone: bands and type alike, sizes of labels,
/// leaks. Pixels of labels are checked as they are read. Throws the first fault's Error.
TrainingFacts check_for_training(const Dataset& data, TrainingChecks checks = {});

}  // namespace fjord
