// A model as the engine sees it: a function that is recorded, and the parameters that makes.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/tape.h"

namespace fjord {

/// Records a model: image n x h x w x bands -> logits n x h x w x classes.
using Model = std::function<Tensor(Net, Tensor image)>;

/// Creates the model's parameters by recording it once on a small image; they have names and
/// shapes, but no memory yet.
void list_parameters(Parameters& parameters, const Model& model, int bands,
                     Backend backend = Backend::cpu);

/// Creates the model's parameters likewise, allocates and draws them. Before weights are loaded,
/// and before any plan is made. A second call does nothing.
void declare_parameters(Parameters& parameters, const Model& model, int bands, std::uint64_t seed,
                        Backend backend = Backend::cpu);

}  // namespace fjord
