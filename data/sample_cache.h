// Decoded samples kept in memory, up to a number of bytes.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "data/sample.h"

namespace fjord {

/// The first to come stay: nothing is evicted, what does not fit is read again.
class SampleCache {
 public:
  SampleCache(std::size_t samples, std::size_t budget) : kept_(samples), budget_(budget) {}

  std::shared_ptr<const DecodedSample> find(std::int64_t i) const {
    const std::scoped_lock lock(mutex_);
    return kept_[static_cast<std::size_t>(i)];
  }
  void keep(std::int64_t i, const std::shared_ptr<const DecodedSample>& sample) {
    const std::scoped_lock lock(mutex_);
    auto& place = kept_[static_cast<std::size_t>(i)];
    if (place || bytes_ + sample->bytes() > budget_) return;
    place = sample;
    bytes_ += sample->bytes();
  }
  std::size_t bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const DecodedSample>> kept_;
  std::size_t budget_, bytes_ = 0;
};

}  // namespace fjord
