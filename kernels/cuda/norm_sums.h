// The second stage of batch normalisation's sums, for kernels that make the first on their way.
#pragma once

#include "kernels/kernel.h"

namespace fjord::cuda {

/// `partial`, f32 [rows][3][channels]: how many pixels, their mean, their squared deviations from
/// it. Of all of them -> mean and biased variance.
void merge_moments(unsigned rows, std::int64_t channels, const float* partial, Out mean,
                   Out variance, Stream& stream);

/// `partial`, f32 [rows][2][channels]: sums of dz and of dz * (x - mean) -> what
/// batch_norm_backward_reduce makes; each Out but sums may be absent.
void merge_gradient_sums(unsigned rows, std::int64_t channels, const float* partial, In inv_std,
                         Out sums, Out dgamma, Out dbeta, Stream& stream);

}  // namespace fjord::cuda
