// Measured choices kept in a folder, by cuDNN's version, card and problem; what is cuBLASLt's by
// its version too.
#pragma once

#include <map>
#include <optional>

#include "kernels/cuda/conv_choice.h"

namespace fjord::cuda {

/// One JSON file a device, "conv-plans-<hash of the device's name>.json". A file that is damaged or
/// of another device is reported on standard error and written anew; a folder that cannot be
/// written is reported and does without.
class PlanCache {
 public:
  /// Without a folder nothing is kept.
  PlanCache(std::string folder, std::string device);

  std::optional<ConvChoice> find(const std::string& problem) const;
  void store(const std::string& problem, const ConvChoice& choice);

  const std::string& path() const { return path_; }

 private:
  void read();
  void write() const;

  std::string path_, device_;
  std::map<std::string, ConvChoice> choices_;
};

}  // namespace fjord::cuda
