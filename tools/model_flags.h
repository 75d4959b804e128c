// Flags that say what a network is, shared by the programs that make or open one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/models.h"
#include "tools/options.h"

namespace fjord {

struct ModelFlags {
  std::string arch = "unet", encoder = "resnet34";
  std::optional<int> in_channels, classes;  // unset: from the data, and 1
  int encoder_depth = 5;
  std::vector<int> decoder_channels;  // empty: SMP's, as many as the depth
  std::optional<std::string> decoder_attention;
  std::string decoder_interpolation = "nearest", decoder_norm = "batchnorm";
  int pab_channels = 64;
};

void add_model_flags(Options& options, ModelFlags& flags);

/// The options of a network for images of that many bands. Throws Error{usage}.
ModelOptions model_options_of(const ModelFlags& flags, int bands);

/// Flags of programs that run networks: --precision, --memory, --exact.
struct ComputeFlags {
  std::optional<std::string> precision;  // unset: the device's own
  std::string memory = "normal";
  bool exact = false;
};
void add_compute_flags(Options& options, ComputeFlags& flags);

}  // namespace fjord
