// Starting an encoder from weights that others trained.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/state_dict.h"

namespace fjord {

/// Fills every parameter under "encoder." (BN statistics included) from a file with torchvision's,
/// timm's or SMP's names: a bare encoder, or a full SMP model, whose decoder is left out. A
/// classifier is dropped. A first convolution of 3 input channels is adapted to the model's as SMP
/// does. Throws Error{model_file} listing what is missing, unexpected or of another shape.
Loaded load_encoder_weights(const TensorFile& file, Parameters& parameters);
Loaded load_encoder_weights(const std::filesystem::path& path, Parameters& parameters);

/// SMP's rule for a filter (in PyTorch's order) of 3 input channels: one channel gets the sum of
/// the three, more get them in turn, times 3 / channels.
struct FirstConv {
  std::int64_t filters = 0, channels = 0, window = 0;  // window: height * width
};
std::vector<float> adapt_first_conv(const std::vector<float>& filter, FirstConv to);

/// An encoder's parameter for the name that a file gives it: with or without "encoder.", and
/// without the "model." under which SMP keeps encoders that are timm's own. Null when there is
/// none.
Parameter* encoder_parameter(Parameters& parameters, const std::string& name);

/// Whether a bare encoder's tensor is of the classifier that it was trained with.
bool is_classifier(std::string_view name);
/// The encoder's first filter; null without an encoder.
const Parameter* first_filter(const Parameters& parameters);
/// The assignment of a tensor to a parameter, a first filter adapted as SMP does (and noted);
/// nothing if it cannot fit.
std::optional<Assignment> fit_filter(const TensorEntry& tensor, Parameter& parameter, bool first,
                                     std::vector<std::string>& notes);

}  // namespace fjord
