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

/// params (StepParams), dweight, weight, first moment, second moment, shadow: the new weights in
/// the type that convolutions read, each in its weight's place (absent where they read the weights
/// themselves). Writes nothing at all when params say skip.
inline Kernel<In, In, InOut, InOut, InOut, Out, const std::vector<Segment>&, AdamW> adamw_update{
    "adamw_update"};
/// params (StepParams), dweight, weight, velocity (absent without momentum), shadow as above.
inline Kernel<In, In, InOut, InOut, Out, const std::vector<Segment>&, Sgd> sgd_update{"sgd_update"};
/// params (StepParams), weight -> its moving average, of all values; after the first update that is
/// the weight itself. Writes nothing when params say skip.
inline Kernel<In, In, InOut, Ema> ema_update{"ema_update"};
/// dweight -> its l2 norm over the segments (f64 scalar), the same for any thread count.
inline Kernel<In, Out, const std::vector<Segment>&> gradient_norm{"gradient_norm"};
/// wish (UpdateWish), loss (one value, the sum over the step's batches), norm (what gradient_norm
/// gave) -> state (UpdateState) moves on, params (StepParams), report (one UpdateReport or a ring
/// of them; see decide_update). Structs are u8 buffers of their size.
///
/// A step's end is thus gradient_norm, prepare_update, {adamw,sgd}_update, without the host between
/// them: the wish is uploaded before the step, the report read when it suits.
inline Kernel<In, In, In, InOut, Out, Out, UpdateRule> prepare_update{"prepare_update"};

/// Entries of the ring of reports.
inline std::int64_t reports_in(Out report) {
  const std::int64_t count =
      report.shape().count() / static_cast<std::int64_t>(sizeof(UpdateReport));
  check(report.dtype() == DType::u8 && count > 0, "prepare_update",
        "its report is u8 of {} bytes or a multiple", sizeof(UpdateReport));
  return count;
}

}  // namespace fjord
