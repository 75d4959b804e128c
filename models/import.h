// Weights that others trained, whatever they saved around them.
#pragma once

#include "engine/state_dict.h"
#include "models/models.h"

namespace fjord {

/// What a file of weights is: a whole segmentation model, or an encoder (perhaps with the
/// classifier that it was trained with).
enum class WeightsKind : std::uint8_t { model, encoder };
WeightsKind kind_of(const TensorFile& file);

/// Which names of a network are given, so not to be read off its tensors.
struct Given {
  bool arch = false, encoder = false;
};

/// The known network that the file's tensors fit best. `asked` has what is given: its names
/// where `given` says so, classes and input channels where they are not 0; the rest is read off the
/// tensors, where they tell. The best may still not fit; loading says how.
ModelOptions recognise(const TensorFile& file, ModelOptions asked, Given given);

/// "the nearest network is --arch manet --encoder resnet18 ... (all of its tensors fit)": what to
/// try after a file was refused for so many differences from another network.
std::string nearest_network(const TensorFile& file, std::size_t differences);

/// The file's tensors under the names of a model's parameters, encoders' short names among them.
std::map<std::string, const TensorEntry*> model_tensors(const TensorFile& file,
                                                        Parameters& parameters,
                                                        std::vector<std::string>& notes);

/// Fills a model's allocated parameters from a full model's file. A first convolution of 3 input
/// channels is adapted by SMP's rule; a head of other classes is drawn by the seed; tensors that
/// the model does not have are left out; all that is noted. Throws Error{model_file} listing what
/// is missing or of another shape.
Loaded import_model(const TensorFile& file, Parameters& parameters, std::uint64_t seed);

}  // namespace fjord
