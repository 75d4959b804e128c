// Batch normalisation (Ioffe and Szegedy 2015), split so that the normalisation can stay deferred:
// statistics -> scale and shift per channel -> one apply pass with residual and activation.
#pragma once

#include "kernels/activation_math.h"
#include "kernels/kernel.h"

namespace fjord {

/// PyTorch's convention: running = (1 - momentum) * running + momentum * batch.
struct BatchNorm {
  double eps = 1e-5, momentum = 0.1;
};

/// x -> mean, variance (biased) per channel.
inline Kernel<In, Out, Out> batch_norm_statistics{"batch_norm_statistics"};

/// mean, variance, gamma, beta; running_mean, running_var (unbiased: count / (count - 1)) and the
/// i64 number of batches, all three updated -> scale = gamma * inv_std, shift = beta - mean *
/// scale, inv_std. Then count, the values per channel (1 leaves the variance biased).
inline Kernel<In, In, In, In, InOut, InOut, InOut, Out, Out, Out, std::int64_t, BatchNorm>
    batch_norm_finalize{"batch_norm_finalize"};

/// gamma, beta, running_mean, running_var -> scale, shift: evaluation mode.
inline Kernel<In, In, In, In, Out, Out, BatchNorm> batch_norm_fold{"batch_norm_fold"};

/// x, scale, shift, residual (may be absent) -> y = act(x * scale + shift + residual).
inline Kernel<In, In, In, In, Out, Act> batch_norm_apply{"batch_norm_apply"};

/// x, y (absent: the mask is recomputed from x), dy, scale, shift, mean, inv_std -> sums (2 x C:
/// of dz and of dz * xhat, where dz = dy masked by the activation), dgamma, dbeta.
inline Kernel<In, In, In, In, In, In, In, Out, Out, Out, Act> batch_norm_backward_reduce{
    "batch_norm_backward_reduce"};

/// x, y (as above), dy, scale, shift, mean, inv_std, sums -> dx = scale * (dz - mean(dz) -
/// xhat * mean(dz * xhat)), dresidual = dz; either may be absent.
inline Kernel<In, In, In, In, In, In, In, In, Out, Out, Act> batch_norm_backward_apply{
    "batch_norm_backward_apply"};

/// Evaluation-mode statistics are constants: x, y (as above), dy, scale, shift -> dx = scale * dz,
/// dresidual = dz; either may be absent.
inline Kernel<In, In, In, In, In, Out, Out, Act> scale_shift_backward{"scale_shift_backward"};

}  // namespace fjord
