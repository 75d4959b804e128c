// Samples to batches: threads decode, resize, augment and normalise ahead of the consumer. Order
// and pixels depend on seed, epoch and sample alone, never on threads, cache or timing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/label_map.h"
#include "data/normalize.h"
#include "data/resize.h"
#include "engine/batch_source.h"
#include "kernels/augment.h"

namespace fjord {

enum class Order : std::uint8_t { sorted, shuffled };
/// Who augments: the loader's threads, or whoever takes the raw samples.
enum class AugmentBy : std::uint8_t { loader, consumer };
enum class LastBatch : std::uint8_t { keep, drop };  // a batch that the epoch's end cuts short

struct LoaderOptions {
  std::int64_t batch = 8;
  Framing framing{};                            // --size, --resize, --crop
  AugmentPolicy augment = AugmentPolicy::none;  // off in evaluation
  AugmentBy augment_by = AugmentBy::loader;     // consumer: decoded images must agree in size
  Normalization normalization{};
  LabelMap labels{};
  std::uint64_t seed = 0;
  Order order = Order::sorted;
  LastBatch last_batch = LastBatch::keep;
  int threads = 2;
  std::int64_t prefetch = 2;    // batches ready ahead of the consumer
  std::size_t cache_bytes = 0;  // decoded (and resized) samples kept in memory; 0 keeps none
};

/// One batch's place and content; the pixels are in the caller's memory.
struct Batch {
  std::int64_t epoch = 0, step = 0;   // step counts from 0 within the epoch
  std::int64_t count = 0;             // samples; below LoaderOptions::batch only at an epoch's end
  std::vector<std::int64_t> samples;  // their indices in sorted order
};

/// A quarter of the memory this process may use.
std::size_t default_cache_bytes();

class Loader {
 public:
  /// Throws Error{dataset} for a set smaller than a batch with LastBatch::drop, or an empty one.
  Loader(std::vector<Sample> samples, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;

  std::int64_t batches() const;  // per epoch
  std::int64_t samples() const;
  /// Of one sample as next() writes it: 1 x h x w x c. With --size 0 read from the first file.
  Shape sample_shape() const;

  /// Continue from this batch on; needed only to begin elsewhere than at (0, 0).
  void start(std::int64_t epoch, std::int64_t step);

  /// The next batch of an endless sequence of epochs: writes count*h*w*c floats (NHWC) and
  /// count*h*w classes. What lies behind `count` samples is left as it was. Throws the Error of the
  /// file that can't be used.
  Batch next(float* images, std::uint8_t* labels);

  /// The same batch as it is without AugmentBy::consumer, before augment_image and augment_label.
  Batch next_raw(const RawBatch& batch);
  AugmentBy augment_by() const;
  /// What those are to be called with.
  RawImages raw_images() const;

  /// What was converted while reading (grey labels stored as RGB, EXIF turns), each said once;
  /// empties the list.
  std::vector<std::string> take_notes();
  /// Bytes of samples kept in memory so far.
  std::size_t cached_bytes() const;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

/// Sample indices of an epoch: sorted, or a permutation keyed by seed and epoch (Fisher-Yates).
std::vector<std::int64_t> epoch_order(std::int64_t samples, Order order, std::uint64_t seed,
                                      std::int64_t epoch);

}  // namespace fjord
