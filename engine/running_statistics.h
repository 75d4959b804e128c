// Running statistics made anew for weights that no training step has seen.
#pragma once

#include "engine/batch_source.h"
#include "engine/parameters.h"
#include "engine/training_step.h"

namespace fjord {

/// Normalisations' running statistics become the equal average over one epoch of training batches,
/// of the weights as they stand (torch.optim.swa_utils.update_bn); their counters the number of
/// batches. Frozen ones stay. Afterwards the step goes on where it was.
void remake_running_statistics(TrainingStep& step, Parameters& parameters, BatchSource& train,
                               int epoch);

}  // namespace fjord
