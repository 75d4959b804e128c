// Which device computes and in what precision.
#pragma once

#include "engine/tape.h"
#include "tools/model_flags.h"
#include "tools/program.h"

namespace fjord {

struct Compute {
  Backend backend = Backend::cpu;
  Precision precision = Precision::fp32;
  ConvAlgorithm algorithm = ConvAlgorithm::any;  // --exact: direct
  FilterMemory filters = FilterMemory::normal;   // --memory, of inference
  Activations activations = Activations::kept;   // --memory, of training
};

/// Throws Error{usage} for what this build does not compute, before anything is started.
void check_compute_flags(const ComputeFlags& flags, const CommonFlags& common);

/// What --memory means to a training step.
Activations activations_of(const ComputeFlags& flags);

/// Starts what --device and --precision ask for, and says what `auto` means and which precision a
/// card computes in unless told. `auto` is a card that can be used, else the CPU; the precision is
/// bf16 on a card that has it, fp32 elsewhere. Throws Error{device} for a device that is not there,
/// or that has no such arithmetic.
Compute start_compute(const CommonFlags& common, const ComputeFlags& flags);

/// Loads the CUDA library, says which card it found, and takes up tuning_of_environment().
void start_card();

/// FJORD_CUDNN_TUNE=1: convolutions are timed on the card, once a card and version of cuDNN; what
/// was found is kept in fjord/ under XDG_CACHE_HOME, or ~/.cache. FJORD_CUDNN_SUMS=1: cuDNN adds up
/// what batch normalisation wants. Each is off when unset, empty or 0; throws Error{usage} for
/// anything else.
ConvTuning tuning_of_environment();

}  // namespace fjord
