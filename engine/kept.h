// What follows from the weights alone: folded normalisations, filters made ready for inference.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "kernels/device.h"

namespace fjord {

/// Memory that outlives a plan's runs. `version` is that of the weights that it was made of; 0:
/// nothing yet.
struct Kept {
  std::size_t bytes = 0;
  DeviceBlock memory;  // taken when a plan is first bound
  std::uint64_t version = 0;
};

/// By key: plans of one model that name the same thing share it, and it goes with the last of them.
class KeptStore {
 public:
  /// The same key always asks for the same number of bytes.
  std::shared_ptr<Kept> get(const std::string& key, std::size_t bytes);
  /// Of all that is shared now.
  std::size_t bytes() const;

 private:
  std::map<std::string, std::weak_ptr<Kept>> by_key_;
};

}  // namespace fjord
