// Sheets of validation samples, drawn after every epoch.
#pragma once

#include <filesystem>

#include "tools/batches.h"
#include "tools/model_record.h"

namespace fjord {

/// Up to four samples spread over a split: image, label, prediction, errors.
class SampleSheets {
 public:
  SampleSheets(const std::vector<Sample>& samples, LoaderOptions options,
               const ModelRecord& record);
  /// Writes folder/<stem>.png.
  void draw(Evaluator& evaluator, const std::filesystem::path& folder);

 private:
  struct Sheet {
    std::string stem;
    std::vector<float> values;  // 1 x h x w x bands
    std::vector<std::uint8_t> label;
  };
  Shape shape_;
  int classes_;
  std::vector<Sheet> sheets_;
};

/// The class of every pixel: above the threshold for one logit, else the largest.
std::vector<std::uint8_t> classes_of(const float* logits, Shape shape, double threshold);

}  // namespace fjord
