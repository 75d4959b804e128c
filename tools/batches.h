// A loader as the trainer's source of batches, and the figures of a split that programs print.
#pragma once

#include "data/loader.h"
#include "engine/trainer.h"

namespace fjord {

/// One split through a loader.
class LoaderSource : public BatchSource {
 public:
  LoaderSource(std::vector<Sample> samples, LoaderOptions options)
      : loader_(std::move(samples), std::move(options)) {}

  void start(int epoch, std::int64_t batch) override;
  int next(float* images, std::uint8_t* labels) override;
  int next_raw(const RawBatch& batch) override;
  std::int64_t batches() const override { return loader_.batches(); }
  Loader& loader() { return loader_; }
  /// Indices (in sorted order) of the images that next() gave last.
  const std::vector<std::int64_t>& samples() const { return last_.samples; }

 private:
  Loader loader_;
  Batch last_;
  std::int64_t next_ = 0;
};

/// Pixels of every class over the labels of a split, by all threads; ignored ones last.
std::vector<std::int64_t> count_class_pixels(std::span<const Sample> samples, const LabelMap& map,
                                             int threads);
/// "background 81.5 %, foreground 18.5 %".
std::string shares_text(const std::vector<std::int64_t>& pixels,
                        const std::vector<std::string>& names);

}  // namespace fjord
