// The CUDA backend: who fills its kernel slots, and the scratch memory of its kernels.
#pragma once

#include <cstddef>

#include "kernels/kernel.h"

namespace fjord {

/// Fills the CUDA slots of every kernel in this folder. Needs a working driver and card; throws
/// Error{device, "device-code"} for a card that this library holds no code for.
void enable_cuda_kernels();

namespace cuda {

/// The most that one call of a slot may ask of workspace().
constexpr std::size_t kWorkspaceBytes = std::size_t{8} << 20;

/// Scratch for partial sums, aligned to 32 bytes, undefined before and dead after the slot's call.
/// One buffer a stream; the first call for a stream allocates it, so make that before capturing.
/// Throws Error{bug} for more than kWorkspaceBytes.
float* workspace(const Stream& stream, std::size_t bytes);

/// Throws Error{device, "device-code"} naming the card and the architectures compiled for.
void require_code_for_card();

/// Each puts the kernels of its file into their slots.
void fill_norm();
void fill_norm_backward();
void fill_activation();
void fill_gate();
void fill_matrix();
void fill_resample();
void fill_pointwise();
void fill_spatial();
void fill_stem();
void fill_loss();
void fill_lovasz();
void fill_formula_loss();
void fill_confusion();
void fill_augment();
void fill_optimizer();
void fill_conv();

}  // namespace cuda
}  // namespace fjord
