// Training in less memory: forward steps that are run again going backward, so that what they make
// need not be kept until then (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
#pragma once

#include "engine/tape.h"

namespace fjord {

/// Rewrites a tape whose backward is recorded. Which steps are run again follows from the tape
/// alone: of the tensors that lie idle where most memory is held, whatever gives back the most
/// bytes for its work comes first (as in Kirisame et al. 2021, "Dynamic Tensor Rematerialization"),
/// while the peak falls and all of them are at most a fifth of the step's work. The same kernels
/// see the same values, so results keep their bits.
void recompute_activations(Tape& tape);

}  // namespace fjord
