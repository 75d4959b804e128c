// A run's state in its folder: saved whole, read back to go on with the same bits.
#pragma once

#include "engine/trainer.h"
#include "tools/model_record.h"
#include "tools/run_folder.h"

namespace fjord {

/// Writes checkpoints/step-N and points `last` (and `best`, when better) to it.
void save_run(const RunFolder& folder, const ModelRecord& record, const Parameters& parameters,
              Optimizer& optimizer, const Progress& progress, bool better);
/// Fills parameters and moments from `last`.
Progress load_run(const RunFolder& folder, Parameters& parameters, Optimizer& optimizer);
/// Where `last` stands, without its tensors.
Progress peek_run(const RunFolder& folder);

}  // namespace fjord
