// Every header that host and device share, used in one kernel: compiled by nvcc, never run.
#include "kernels/host_device.h"
#include "kernels/view.h"

namespace fjord {

FJORD_HD float twice(float x) { return 2 * x; }

__global__ void use_shared_headers(float* y) { y[0] = twice(y[0]); }

}  // namespace fjord
