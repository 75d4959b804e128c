// Optimizers over flat buffers. What changes per step is data, so a replayed plan stays valid.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel.h"

namespace fjord {

/// Uploaded before every step; the content of the buffer that optimizer kernels read.
struct StepParams {
  std::int64_t step = 1;  // counts from 1: Adam's bias correction
  double lr = 1e-3;
  double gradient_scale = 1.0;  // clipping and loss scale, multiplied into every gradient
};

/// A run of the flat buffers with one learning-rate factor and weight decay: a parameter group.
struct Segment {
  std::int64_t begin = 0, end = 0;
  double lr_factor = 1.0, weight_decay = 0.0;
};

/// PyTorch's AdamW (Loshchilov and Hutter 2019): decay decoupled, no amsgrad.
struct AdamW {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// PyTorch's SGD: decay coupled (added to the gradient), no dampening.
struct Sgd {
  double momentum = 0.9;
  bool nesterov = false;
};

/// params (StepParams), dweight, weight, first moment, second moment.
inline Kernel<In, In, InOut, InOut, InOut, const std::vector<Segment>&, AdamW> adamw_update{
    "adamw_update"};
/// params (StepParams), dweight, weight, velocity (absent without momentum).
inline Kernel<In, In, InOut, InOut, const std::vector<Segment>&, Sgd> sgd_update{"sgd_update"};
/// dweight -> its l2 norm over the segments (f64 scalar), the same for any thread count.
inline Kernel<In, Out, const std::vector<Segment>&> gradient_norm{"gradient_norm"};

}  // namespace fjord
