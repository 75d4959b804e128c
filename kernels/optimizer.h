// Optimizers over flat buffers. What changes per step is data, so a replayed plan stays valid.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel.h"
#include "kernels/optimizer_math.h"

namespace fjord {

/// A run of the flat buffers with one learning-rate factor and weight decay: a parameter group.
struct Segment {
  std::int64_t begin = 0, end = 0;
  double lr_factor = 1.0, weight_decay = 0.0;
};

/// params (StepParams), dweight, weight, first moment, second moment.
inline Kernel<In, In, InOut, InOut, InOut, const std::vector<Segment>&, AdamW> adamw_update{
    "adamw_update"};
/// params (StepParams), dweight, weight, velocity (absent without momentum).
inline Kernel<In, In, InOut, InOut, const std::vector<Segment>&, Sgd> sgd_update{"sgd_update"};
/// dweight -> its l2 norm over the segments (f64 scalar), the same for any thread count.
inline Kernel<In, Out, const std::vector<Segment>&> gradient_norm{"gradient_norm"};

}  // namespace fjord
