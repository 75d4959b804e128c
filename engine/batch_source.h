// Where batches come from: made ready by the host, or raw, to be augmented by the device.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/augment.h"

namespace fjord {

/// Images as they were decoded, all of one size, which the training step augments by itself.
struct RawImages {
  Shape source;                      // 1 x h x w x bands
  DType dtype = DType::u8;           // u8, u16 or f32
  std::vector<float> scale, offset;  // of each band
  AugmentImage image = {};
  AugmentLabel label = {};
};

/// Memory for one batch of them: n x h x w x bands pixels, n x h x w classes, n samples.
struct RawBatch {
  void* pixels = nullptr;
  std::uint8_t* classes = nullptr;
  AugmentSample* samples = nullptr;  // what each image goes through
};

/// Augments images.n of them by the calling thread: to images' values and their labels.
void augment_on_host(const RawImages& raw, const RawBatch& batch, Shape images, float* values,
                     std::uint8_t* labels);

/// Batches of one split, in an order of its own.
struct BatchSource {
  virtual ~BatchSource() = default;
  /// Makes `batch` of `epoch` the next one.
  virtual void start(int epoch, std::int64_t batch) = 0;
  /// Fills n x h x w x bands values and n x h x w labels (class, 255 = ignore); returns how many
  /// images there were: fewer than n in the last batch of an evaluation, 0 when the epoch is over.
  virtual int next(float* images, std::uint8_t* labels) = 0;
  /// The same batch before augmentation; only of a source that was made for it.
  virtual int next_raw(const RawBatch&) {
    throw Error(ExitCode::bug, "raw-batch", "a source of batches", "it has ready ones only",
                "use --device cpu");
  }
  virtual std::int64_t batches() const = 0;
};

}  // namespace fjord
