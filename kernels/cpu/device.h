// The host as a device.
#pragma once

#include "kernels/device.h"

namespace fjord {

Device& cpu_device();

}  // namespace fjord
