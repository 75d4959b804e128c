// Data sets on disk: images and labels paired by stem, in splits. Reads names, never pixels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace fjord {

/// An image and its label. Names are bytes; print them through printable().
struct Sample {
  std::string stem;
  std::filesystem::path image, label;
};

/// Something wrong with a data set, as the one line of an Error or of the doctor's report.
struct Fault {
  enum class Severity : std::uint8_t { warning, error };

  Severity severity = Severity::error;
  std::string slug, what, why, remedy;

  /// The line without "error[E-...] ": what - why - remedy.
  std::string line() const;
};

/// Error{dataset} of a fault.
[[noreturn]] void throw_fault(const Fault& fault);

/// One split, sorted by the bytes of the stem.
struct Split {
  std::string name;  // "train", "val", "test"
  std::filesystem::path root;
  std::vector<Sample> samples;
};

/// How a folder without train/ and val/ is split.
struct SplitOptions {
  double val_fraction = 0.1;
  std::uint64_t seed = 0;
};

struct Dataset {
  std::filesystem::path root;
  std::vector<Split> splits;       // train, val and, where there is one, test
  std::vector<std::string> notes;  // what was inferred or left out, to be printed once

  /// Null when the data set has no split of that name.
  const Split* find(std::string_view name) const;
  /// Throws Error{dataset} when the data set has no split of that name.
  const Split& at(std::string_view name) const;
};

/// DATA/{train,val[,test]}/{images,labels|masks}, or DATA/{images,labels|masks} split by a seeded
/// hash of the stem. Throws Error{dataset} with the first fault.
Dataset open_dataset(const std::filesystem::path& data, SplitOptions options = {});

/// One folder with images/ and labels/ (or masks/), such as DATA/test. Notes are appended.
Split open_split(const std::filesystem::path& folder, std::vector<std::string>& notes);

/// As open_dataset and open_split (whichever the folder is), but collects every fault and throws
/// only for nothing to look at.
Dataset survey_dataset(const std::filesystem::path& data, SplitOptions options,
                       std::vector<Fault>& faults);

/// Images with the same bytes in two splits: a leak of training data into the score. Only files of
/// one size are opened.
std::vector<Fault> find_leaks(const Dataset& data);

}  // namespace fjord
