// The card as a device.
#pragma once

#include "kernels/device.h"

namespace fjord {

/// The first card that CUDA shows. The first call starts the driver; throws Error{device} when
/// there is no card, or one older than sm_75.
Device& cuda_device();

}  // namespace fjord
